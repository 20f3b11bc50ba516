"""Learning rates by step, and their reduction on a plateau."""

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

INDEPENDENT_OF_EPOCHS = ("constant", "exponential", "piecewise", "plateau")
"""Schedules whose rates do not depend on the number of epochs."""


def make_schedule(config: ConfigDict, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    """Returns the learning rate as a function of the step, without reductions on a plateau.

    Args:
      config: Section `schedule` of a checked configuration.
      epochs: Epochs of the whole run.
      steps_per_epoch: Steps in each epoch.
    """
    schedule = _main_schedule(config, epochs, steps_per_epoch)
    warmup_steps = round(config.warmup.epochs * steps_per_epoch)
    first = config.warmup.factor * config.lr
    last = config.lr if config.warmup.name == "linear" else first
    warmup = optax.linear_schedule(first, last, max(warmup_steps, 1))

    def rate(step: jax.typing.ArrayLike) -> jax.Array:
        step = jnp.asarray(step, jnp.float32)
        with jax.numpy_dtype_promotion("standard"):  # Optax relies on it
            later = jnp.asarray(schedule(step), jnp.float32)
            return jnp.where(step < warmup_steps, warmup(step), later) if warmup_steps else later

    return rate


def _main_schedule(config: ConfigDict, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    rate, steps = config.lr, epochs * steps_per_epoch
    match config.name:
        case "cosine":
            return optax.cosine_decay_schedule(rate, steps)
        case "one_cycle":
            return optax.cosine_onecycle_schedule(steps, rate)
        case "exponential":
            decay_steps = round(config.decay_epochs * steps_per_epoch)
            return optax.exponential_decay(rate, decay_steps, config.factor, staircase=True)
        case "piecewise":
            return optax.join_schedules(
                [optax.constant_schedule(rate * factor) for factor in (1.0, *config.decay_factors)],
                [round(boundary * steps_per_epoch) for boundary in config.boundaries],
            )
    return optax.constant_schedule(rate)


def make_plateau(config: ConfigDict) -> optax.GradientTransformationExtraArgs:
    """Returns a transformation that reduces the rate when the validation error stops falling.

    Call its `update` after each epoch with the error as `value`. The `scale` of its state is the
    factor of the rate; it stays 1 for other schedules.

    Args:
      config: Section `schedule` of a configuration.
    """
    drops = config.max_drops if config.name == "plateau" else 0
    return optax.contrib.reduce_on_plateau(
        factor=config.factor, patience=config.patience, min_scale=config.factor**drops
    )
