"""Optimisers and learning rates by name."""

import jax.numpy as jnp
import optax
from ml_collections import ConfigDict


def make_schedule(config: ConfigDict, total_steps: int) -> optax.Schedule:
    """Returns the learning rate as a function of the step.

    Args:
      config: `name` (`"constant"`, or `"cosine"` for a fall to 0 along half a cosine) and
        `learning_rate`.
      total_steps: steps of the whole run.
    """
    if config.name == "constant":
        return optax.constant_schedule(config.learning_rate)
    cosine = optax.cosine_decay_schedule(config.learning_rate, total_steps)
    # Given an integer it would rely on implicit promotion.
    return lambda step: cosine(jnp.asarray(step, jnp.float32))


def make_optimizer(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Returns the papers' gradient descent, with the L2 decay in the gradient.

    g' = g + decay w; v = momentum v + g'; w = w - rate v.

    Args:
      config: `momentum` and `weight_decay`.
      schedule: the learning rate by step.
    """
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(schedule, config.momentum),
    )
