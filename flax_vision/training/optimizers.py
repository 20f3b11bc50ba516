"""Optimizers of the papers, and the common optimizers of Optax."""

import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from flax_vision.models.layer_paths import matches_layer
from flax_vision.training.levenberg_marquardt import levenberg_marquardt

_DECOUPLED = ("adamw", "lamb", "lion")
"""Optimizers whose weight decay is decoupled by default."""

_B2 = {"rmsprop": 0.9, "lion": 0.99}
"""Default decay of the average squared gradient, where it is not 0.999."""


def make_optimizer(config: ConfigDict) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer `config.name`.

    `"sgd"` is the papers' gradient descent, with L2 decay in the gradient. With the "standard"
    `momentum_form` the rate multiplies the velocity.

        g' = g + decay w;  v = momentum v + g';  w = w - rate v.

    With "alexnet" the velocity contains the rate (Krizhevsky et al. 2012, section 5): after a drop
    of the rate, the steps become smaller gradually.

        v = momentum v - rate g';  w = w + v.

    The other optimizers are Optax's. `decay_form` is the form of their weight decay.

        coupled:    u = f(g + decay w);   w = w - rate u.
        decoupled:  u = f(g) + decay w;   w = w - rate u.

    Args:
      config: Section `optimizer` of a checked configuration.

    Returns:
      An optimizer whose `update` has the keyword argument `learning_rate`.
    """
    if config.name == "levenberg_marquardt":
        return levenberg_marquardt(config.damping)
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    optimizer = optax.chain(*clip, *_steps(config))
    if config.grad_accum_steps > 1:
        # One step with the mean gradient of several batches.
        optimizer = optax.MultiSteps(optimizer, config.grad_accum_steps)
    return _with_standard_promotion(optimizer)


def _steps(config: ConfigDict) -> list[optax.GradientTransformation]:
    """Returns the transformations of a clipped gradient, in order."""
    form = config.decay_form
    if form == "auto":
        form = "decoupled" if config.name in _DECOUPLED else "coupled"
    decayed = None if config.decay_biases else _is_not_bias
    decay = optax.add_decayed_weights(config.weight_decay, decayed)
    multipliers = [optax.masked(optax.scale(config.bias_lr_mult), _is_bias)]
    if config.lr_mult:
        multipliers.append(_scale_layers(config.lr_mult))
    rule, rate = _update_rule(config), _scale_by_learning_rate()
    if config.name == "sgd" and form == "coupled":
        # The multipliers may be anywhere, because all steps are linear.
        momentum = [rate, rule] if config.momentum_form == "alexnet" else [rule, rate]
        return [decay, *multipliers, *momentum]
    scaled = [decay, rule] if form == "coupled" else [rule, decay]
    trust_ratio = [optax.scale_by_trust_ratio()] if config.name == "lamb" else []
    return [*scaled, *trust_ratio, *multipliers, rate]


def _update_rule(config: ConfigDict) -> optax.GradientTransformation:
    """Returns the optimizer's own transformation, without weight decay and learning rate."""
    b2 = config.b2 or _B2.get(config.name, 0.999)
    match config.name:
        case "sgd":
            return optax.trace(config.momentum, config.nesterov)
        case "rmsprop":
            # eps is outside the root, as in PyTorch.
            return optax.scale_by_rms(b2, config.eps, eps_in_sqrt=False)
        case "lion":
            return optax.scale_by_lion(config.b1, b2)
    return optax.scale_by_adam(config.b1, b2, config.eps)


def _with_standard_promotion(
    optimizer: optax.GradientTransformation | optax.MultiSteps,
) -> optax.GradientTransformationExtraArgs:
    """Returns the same optimizer, traced with the type promotion that Optax relies on."""

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            return optimizer.update(updates, state, params, **extra)

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def _scale_layers(factors: Sequence[tuple[str, float]]) -> optax.GradientTransformation:
    """Returns a transformation that scales each layer by the factor of its first pattern.

    Args:
      factors: Pairs of a pattern for `matches_layer` and a factor.
    """

    def scale(path: tuple[Any, ...], update: jax.Array) -> jax.Array:
        names = [jax.tree_util.keystr((key,), simple=True) for key in path]
        matches = (factor for pattern, factor in factors if matches_layer(pattern, names[:-1]))
        return update * next(matches, 1.0)

    return optax.stateless(lambda updates, _: jax.tree.map_with_path(scale, updates))


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
