"""Gradient descent as each paper writes it."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from flax_vision.training.config_schema import check_choice
from flax_vision.training.levenberg_marquardt import levenberg_marquardt


def make_optimizer(config: ConfigDict) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer `config.name`.

    `"sgd"` is the papers' gradient descent, with the L2 decay in the gradient. With `momentum_form`
    "standard", the usual form, the rate multiplies the velocity:

        g' = g + decay w;  v = momentum v + g';  w = w - rate v

    With "alexnet" the velocity contains it (Krizhevsky et al. 2012, section 5), so that after a
    drop of the rate the steps fall little by little:

        v = momentum v - rate g';  w = w + v

    Args:
      config: the part `optimizer` of a configuration; `default_config` tells its keys.

    Returns:
      An optimizer whose `update` takes the rate as the keyword `learning_rate`.

    Raises:
      UserError: The optimizer or the form of the momentum is unknown.
    """
    check_choice("optimizer.name", config.name)
    check_choice("optimizer.momentum_form", config.momentum_form)
    if config.name == "levenberg_marquardt":
        return levenberg_marquardt(config.damping)
    decayed = None if config.decay_biases else _not_biases
    gradient = [
        optax.add_decayed_weights(config.weight_decay, decayed),
        optax.masked(optax.scale(config.bias_lr_mult), _biases),
    ]
    trace, rate = optax.trace(config.momentum), _scale_by_rate()
    forms = {"standard": (trace, rate), "alexnet": (rate, trace)}
    optimizer = optax.chain(*gradient, *forms[config.momentum_form])
    return (
        optimizer
        if config.grad_accum_steps == 1
        else _accumulating(optimizer, config.grad_accum_steps)
    )


def _accumulating(
    optimizer: optax.GradientTransformationExtraArgs, batches: int
) -> optax.GradientTransformationExtraArgs:
    """Returns an optimizer that steps once for so many batches, with their mean gradient."""
    steps = optax.MultiSteps(optimizer, batches)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):  # Optax relies on it
            return steps.update(updates, state, params, **extra)

    return optax.GradientTransformationExtraArgs(steps.init, update)


def _scale_by_rate() -> optax.GradientTransformationExtraArgs:
    def update(
        updates: Any, state: optax.EmptyState, params: Any = None, *, learning_rate: jax.Array
    ) -> tuple[Any, optax.EmptyState]:
        del params
        return jax.tree.map(lambda update: -learning_rate * update, updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _biases(params: Any) -> Any:
    """Returns which parameters are biases, those of batch normalization among them."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path[-1:], simple=True) == "bias", params
    )


def _not_biases(params: Any) -> Any:
    return jax.tree.map(lambda is_bias: not is_bias, _biases(params))


def running_average(average: Any, params: Any, step: jax.Array, decay: float) -> Any:
    """Returns Polyak's average of the parameters, with the newest taken in.

    Exponential with the decay, and the plain mean of all as long as there are fewer than
    1 / (1 - decay).

    Args:
      average: of the steps before.
      params: after this step.
      step: int32 [], steps done, this one among them.
      decay: from 0 to below 1.
    """
    weight = jnp.maximum(1 - decay, 1 / step.astype(jnp.float32))
    return optax.incremental_update(params, average, weight)
