"""The learning rate by step, and what lowers it when nothing is gained any more."""

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from flax_vision.training.config_schema import check_choice

INDEPENDENT_OF_EPOCHS = ("constant", "exponential", "piecewise", "plateau")
"""Schedules whose rates do not depend on the number of epochs."""


def make_schedule(config: ConfigDict, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    """Returns the learning rate as a function of the step, before any drop on a plateau.

    Args:
      config: the part `schedule` of a configuration; `default_config` tells its keys.
      epochs: of the whole run.
      steps_per_epoch: steps in each.

    Raises:
      UserError: The schedule or the warm-up is unknown.
    """
    check_choice("schedule.name", config.name)
    check_choice("schedule.warmup.name", config.warmup.name)
    schedule = _main_schedule(config, epochs, steps_per_epoch)
    warm_up = config.warmup
    last = round(warm_up.epochs * steps_per_epoch)
    first = warm_up.factor * config.lr
    is_linear = warm_up.name == "linear"
    early = optax.linear_schedule(first, config.lr if is_linear else first, max(last, 1))

    def rate(step: jax.typing.ArrayLike) -> jax.Array:
        step = jnp.asarray(step, jnp.float32)
        with jax.numpy_dtype_promotion("standard"):  # Optax relies on it
            later = jnp.asarray(schedule(step), jnp.float32)
            return jnp.where(step < last, early(step), later) if last else later

    return rate


def _main_schedule(config: ConfigDict, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    rate, steps = config.lr, epochs * steps_per_epoch
    match config.name:
        case "cosine":
            return optax.cosine_decay_schedule(rate, steps)
        case "one_cycle":
            return optax.cosine_onecycle_schedule(steps, rate)
        case "exponential":
            every = round(config.decay_epochs * steps_per_epoch)
            return optax.exponential_decay(rate, every, config.factor, staircase=True)
        case "piecewise":
            return optax.join_schedules(
                [optax.constant_schedule(rate * factor) for factor in (1.0, *config.decay_factors)],
                [round(boundary * steps_per_epoch) for boundary in config.boundaries],
            )
    return optax.constant_schedule(rate)


def make_plateau(config: ConfigDict) -> optax.GradientTransformationExtraArgs:
    """Returns what divides the rate when the validation error stops to fall.

    Its `update`, once after each epoch with that epoch's error as `value`, leaves the factor of the
    rate in the `scale` of its state. For other schedules that stays 1.

    Args:
      config: the part `schedule` of a configuration.
    """
    drops = config.max_drops if config.name == "plateau" else 0
    return optax.contrib.reduce_on_plateau(
        factor=config.factor, patience=config.patience, min_scale=config.factor**drops
    )
