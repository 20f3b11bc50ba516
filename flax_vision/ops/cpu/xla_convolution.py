"""XLA's convolution and its two gradients, with the geometry that the CPU forms share."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from flax_vision.ops.convolution import cross_correlate
from flax_vision.ops.padding import Pairs, output_size

Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """Geometry of a convolution, of one of its gradients, or of a pool.

    Attributes:
      shape: Shape of the result.
      stride: Distance between two windows of the convolution, in pixels.
      padding: Zeros above and below, left and right of the images.
    """

    shape: Shape
    stride: int
    padding: Pairs


def geometry_of(images: Shape, kernel: Shape, stride: int, padding: Pairs) -> Geometry:
    """Returns the geometry of a convolution, from the shapes of its operands."""
    height, width = map(output_size, images[1:3], kernel[:2], (stride, stride), padding)
    return Geometry((images[0], height, width, kernel[3]), stride, padding)


def conv_xla(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """Computes the convolution of images [N, H, W, C] with kernels, as `ops.convolution` does."""
    return cross_correlate(x, kernel, geometry.stride, geometry.padding)


def input_gradient_xla(dy: Array, kernel: Array, geometry: Geometry) -> Array:
    """Computes the gradient for the images from the gradient `dy` of the result."""
    return transpose(lambda x: conv_xla(x, kernel, geometry), geometry.shape, dy)


def kernel_gradient_xla(x: Array, dy: Array, geometry: Geometry) -> Array:
    """Computes the gradient for the kernel from the gradient `dy` of the result."""
    return transpose(lambda kernel: conv_xla(x, kernel, geometry), geometry.shape, dy)


def transpose(linear: Callable[[Array], Array], shape: Shape, y: Array) -> Array:
    """Applies the transpose of a linear function.

    `jax.linear_transpose` refuses an array that varies over the devices of a `shard_map`.

    Args:
      linear: Function of an array of the given shape and the type of `y`.
      shape: Shape of the result.
      y: Array like the function's results.
    """
    return jax.vjp(linear, jnp.zeros_like(y, shape=shape))[1](y)[0]
