"""LeNet-5's stochastic diagonal Levenberg-Marquardt, with a rate for each weight.

LeCun et al. 1998, appendix C. Equations 18 and 21 change each weight w_k after each pattern p.

    w_k <- w_k - eta / (mu + h_kk) dE^p/dw_k.

Here h_kk is the mean second derivative of E by w_k over some patterns, estimated before each pass.
It propagates backwards like the gradient, with every weight, input and slope squared (equations 25
to 27). This neglects all elements off the diagonal of the Hessian.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from flax_vision.models import lenet
from flax_vision.ops.convolution import conv
from flax_vision.ops.pooling import sum_pool
from flax_vision.training.losses import Loss

Curvature = Callable[[Any, jax.Array, jax.Array], Any]
"""Function of parameters, images and labels; returns the mean second derivative by parameter."""


class _Layer(NamedTuple):
    """A layer of LeNet-5.

    Attributes:
      name: Name of its parameters; empty for none.
      weighted_sums: Function of the parameters and the inputs, linear in both (except biases).
      has_sigmoid: Whether the sigmoid follows.
    """

    name: str
    weighted_sums: Callable[[Any, jax.Array], jax.Array]
    has_sigmoid: bool = True


def _convolve(params: Any, x: jax.Array) -> jax.Array:
    return conv(x, params["kernel"], bias=params["bias"])


def _convolve_links(params: Any, x: jax.Array) -> jax.Array:
    return conv(x, lenet.dense_from_links(params["kernel"], lenet.TABLE_I), bias=params["bias"])


def _scale(params: Any, x: jax.Array) -> jax.Array:
    coefficient, bias = (params[name].reshape(1, 1, 1, -1) for name in ("coefficient", "bias"))
    return x * coefficient + bias


def _connect(params: Any, x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1) @ params["kernel"] + params["bias"].reshape(1, -1)


_POOL = _Layer("", lambda params, x: sum_pool(x, 2, 2), has_sigmoid=False)
_LAYERS = (
    _Layer("C1", _convolve),
    _POOL,
    _Layer("S2", _scale),
    _Layer("C3", _convolve_links),
    _POOL,
    _Layer("S4", _scale),
    _Layer("C5", _convolve),
    _Layer("F6", _connect),
)


def make_curvature(model: lenet.LeNet5, loss: Loss) -> Curvature:
    """Returns the function that estimates the curvature of a LeNet-5 with fixed codes.

    Args:
      model: The model.
      loss: Training loss of each image.
    """
    output = lenet.RadialBasis(lenet.CODES[model.codes](model.num_classes))

    def curvature(params: Any, images: jax.Array, labels: jax.Array) -> Any:
        x = lenet.pad_to_field(images, model.background)
        forward = []
        for layer in _LAYERS:
            sums = layer.weighted_sums(params.get(layer.name), x)
            forward.append((layer, x, sums))
            x = lenet.scaled_tanh(sums) if layer.has_sigmoid else sums
        # This is exact for the outputs of the last layer, where it is never negative.
        second = jax.vmap(output_curvature)(x, labels)
        result = {}
        for layer, x, sums in reversed(forward):
            if layer.has_sigmoid:
                _, slope = jax.jvp(lenet.scaled_tanh, (sums,), (jnp.ones_like(sums),))
                second = second.reshape(sums.shape) * slope**2
            squared = jax.tree.map(jnp.square, (params.get(layer.name), x))
            _, propagate = jax.vjp(layer.weighted_sums, *squared)
            param_curvature, second = propagate(second)
            if layer.name:
                result[layer.name] = jax.tree.map(lambda h: h / len(images), param_curvature)
        return result

    def output_curvature(features: jax.Array, label: jax.Array) -> jax.Array:
        def error(features: jax.Array) -> jax.Array:
            distances: Any = output.apply({}, features[None])
            return loss(-distances, label[None])[0]

        return jnp.diagonal(jax.hessian(error)(features))

    return curvature


def levenberg_marquardt(damping: float) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer; its state is the curvature.

    Args:
      damping: The paper's mu, which limits the steps without curvature; 0.02 in the paper, see
        `configs/lenet5.py`.
    """

    def update(
        updates: Any, state: Any, params: Any = None, *, learning_rate: jax.Array
    ) -> tuple[Any, Any]:
        del params
        return jax.tree.map(lambda g, h: -learning_rate / (damping + h) * g, updates, state), state

    return optax.GradientTransformationExtraArgs(optax.tree.zeros_like, update)
