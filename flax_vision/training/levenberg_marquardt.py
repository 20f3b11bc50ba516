"""LeNet-5's stochastic diagonal Levenberg-Marquardt: a rate for each weight, by its curvature.

LeCun et al. 1998, appendix C. Each weight w_k is changed after each pattern p by equations 18 and
21,

    w_k <- w_k - eta / (mu + h_kk) dE^p/dw_k,

where h_kk is the mean second derivative of E by w_k over some patterns, estimated before each pass
and kept during it. It is propagated backwards as the gradient is, with every weight, input and
slope squared (equations 25 to 27), which neglects everything off the diagonal of the Hessian.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from flax_vision.models.lenet import (
    CODES,
    TABLE_I,
    LeNet5,
    RadialBasis,
    dense_from_links,
    pad_to_field,
    scaled_tanh,
)
from flax_vision.ops.convolution import conv
from flax_vision.ops.pooling import sum_pool
from flax_vision.training.losses import Loss

Curvature = Callable[[Any, jax.Array, jax.Array], Any]
"""From parameters, images and labels to the mean second derivative by each parameter."""


class _Layer(NamedTuple):
    """A layer of LeNet-5.

    Attributes:
      name: of its parameters, empty where it has none.
      sums: linear in the parameters (but for biases) and in the inputs: makes both to the weighted
        sums of the layer.
      squashes: whether these go through the sigmoid then.
    """

    name: str
    sums: Callable[[Any, jax.Array], jax.Array]
    squashes: bool = True


def _convolve(params: Any, x: jax.Array) -> jax.Array:
    return conv(x, params["kernel"], bias=params["bias"])


def _convolve_links(params: Any, x: jax.Array) -> jax.Array:
    return conv(x, dense_from_links(params["kernel"], TABLE_I), bias=params["bias"])


def _scale(params: Any, x: jax.Array) -> jax.Array:
    coefficient, bias = (params[name].reshape(1, 1, 1, -1) for name in ("coefficient", "bias"))
    return x * coefficient + bias


def _connect(params: Any, x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1) @ params["kernel"] + params["bias"].reshape(1, -1)


def _sum(params: Any, x: jax.Array) -> jax.Array:
    del params
    return sum_pool(x, 2, 2)


_LAYERS = (
    _Layer("C1", _convolve),
    _Layer("", _sum, squashes=False),
    _Layer("S2", _scale),
    _Layer("C3", _convolve_links),
    _Layer("", _sum, squashes=False),
    _Layer("S4", _scale),
    _Layer("C5", _convolve),
    _Layer("F6", _connect),
)


def make_curvature(model: LeNet5, loss: Loss) -> Curvature:
    """Returns the function that estimates the curvature of a LeNet-5 with fixed codes.

    Args:
      model: the network.
      loss: what is minimised, for each image.
    """
    output = RadialBasis(CODES[model.codes](model.num_classes))

    def curvature(params: Any, images: jax.Array, labels: jax.Array) -> Any:
        x = pad_to_field(images, model.background)
        seen = []
        for layer in _LAYERS:
            sums = layer.sums(params.get(layer.name), x)
            seen.append((x, sums))
            x = scaled_tanh(sums) if layer.squashes else sums
        # Of the last layer's outputs it is exact, and there it is never negative.
        second = jax.vmap(of_output)(x, labels)
        result = {}
        for layer, (x, sums) in zip(reversed(_LAYERS), reversed(seen), strict=True):
            if layer.squashes:
                _, slope = jax.jvp(scaled_tanh, (sums,), (jnp.ones_like(sums),))
                second = second.reshape(sums.shape) * slope**2
            squared = jax.tree.map(jnp.square, (params.get(layer.name), x))
            _, propagate = jax.vjp(layer.sums, *squared)
            by_params, second = propagate(second)
            if layer.name:
                result[layer.name] = jax.tree.map(lambda h: h / len(images), by_params)
        return result

    def of_output(features: jax.Array, label: jax.Array) -> jax.Array:
        def error(features: jax.Array) -> jax.Array:
            distances: Any = output.apply({}, features[None])
            return loss(-distances, label[None])[0]

        return jnp.diagonal(jax.hessian(error)(features))

    return curvature


def levenberg_marquardt(mu: float) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer, whose state is the curvature.

    Args:
      mu: keeps the steps small where there is no curvature; 0.02 in the paper, see
        `configs/lenet5.py`.
    """

    def init(params: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, params)

    def update(
        updates: Any, state: Any, params: Any = None, *, learning_rate: jax.Array
    ) -> tuple[Any, Any]:
        del params
        return jax.tree.map(lambda g, h: -learning_rate / (mu + h) * g, updates, state), state

    return optax.GradientTransformationExtraArgs(init, update)
