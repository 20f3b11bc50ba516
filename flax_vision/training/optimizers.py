"""Optimizers of the papers."""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from flax_vision.training.levenberg_marquardt import levenberg_marquardt


def make_optimizer(config: ConfigDict) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer `config.name`.

    `"sgd"` is the papers' gradient descent, with L2 decay in the gradient. With the "standard"
    `momentum_form` the rate multiplies the velocity.

        g' = g + decay w;  v = momentum v + g';  w = w - rate v.

    With "alexnet" the velocity contains the rate (Krizhevsky et al. 2012, section 5): after a drop
    of the rate, the steps become smaller gradually.

        v = momentum v - rate g';  w = w + v.

    Args:
      config: Section `optimizer` of a checked configuration.

    Returns:
      An optimizer whose `update` has the keyword argument `learning_rate`.
    """
    if config.name == "levenberg_marquardt":
        return levenberg_marquardt(config.damping)
    steps = [optax.trace(config.momentum), _scale_by_learning_rate()]
    if config.momentum_form == "alexnet":
        steps.reverse()
    decayed = None if config.decay_biases else _is_not_bias
    optimizer = optax.chain(
        optax.add_decayed_weights(config.weight_decay, decayed),
        optax.masked(optax.scale(config.bias_lr_mult), _is_bias),
        *steps,
    )
    if config.grad_accum_steps == 1:
        return optimizer
    return _accumulate(optimizer, config.grad_accum_steps)


def _accumulate(
    optimizer: optax.GradientTransformationExtraArgs, batches: int
) -> optax.GradientTransformationExtraArgs:
    """Returns an optimizer that makes one step for several batches, with their mean gradient."""
    steps = optax.MultiSteps(optimizer, batches)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):  # Optax relies on it
            return steps.update(updates, state, params, **extra)

    return optax.GradientTransformationExtraArgs(steps.init, update)


def _scale_by_learning_rate() -> optax.GradientTransformationExtraArgs:
    def update(
        updates: Any, state: optax.EmptyState, params: Any = None, *, learning_rate: jax.Array
    ) -> tuple[Any, optax.EmptyState]:
        del params
        return jax.tree.map(lambda update: -learning_rate * update, updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _is_bias(params: Any) -> Any:
    """Returns a tree with True for biases, including the biases of batch normalization."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path[-1:], simple=True) == "bias", params
    )


def _is_not_bias(params: Any) -> Any:
    return jax.tree.map(operator.not_, _is_bias(params))


def running_average(average: Any, params: Any, step: jax.Array, decay: float) -> Any:
    """Returns Polyak's average of the parameters, updated with the newest.

    It is the plain mean for fewer than 1 / (1 - decay) steps, then exponential with the decay.

    Args:
      average: Average after the previous step.
      params: Parameters after this step.
      step: int32 [], number of steps including this one.
      decay: Number from 0 to below 1.
    """
    weight = jnp.maximum(1 - decay, 1 / step.astype(jnp.float32))
    return optax.incremental_update(params, average, weight)
