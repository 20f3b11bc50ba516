"""Optimisers and learning rates by name."""

import optax
from ml_collections import ConfigDict


def make_schedule(config: ConfigDict, total_steps: int) -> optax.Schedule:
    """Returns the learning rate as a function of the step.

    Args:
      config: `name` (`"constant"`, or `"cosine"` for a fall to 0 along half a cosine) and
        `learning_rate`.
      total_steps: steps of the whole run.
    """
    if config.name == "cosine":
        return optax.cosine_decay_schedule(config.learning_rate, total_steps)
    return optax.constant_schedule(config.learning_rate)


def make_optimizer(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Returns an optimiser.

    `"sgd"` is the papers' form: the L2 decay is added to the gradient before the momentum.
    `"adam"` decays the weights apart from the gradient (AdamW).

    Args:
      config: `name`, `momentum` (of sgd) and `weight_decay`.
      schedule: the learning rate by step.
    """
    if config.name == "adam":
        return optax.adamw(schedule, weight_decay=config.weight_decay)
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(schedule, config.momentum),
    )
