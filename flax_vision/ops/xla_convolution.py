"""A convolution and its two gradients as XLA has them: the plain forms of the fast ones."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops.padding import Pairs, output_size

Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """What one of the three does beside its operands.

    Attributes:
      shape: of what it returns.
      stride: between two windows of the convolution, in pixels.
      padding: zeros above and below, left and right of the images.
    """

    shape: Shape
    stride: int
    padding: Pairs


def geometry_of(x: Shape, kernel: Shape, stride: int, padding: Pairs) -> Geometry:
    """Returns the geometry of a convolution, from the shapes of its operands."""
    height, width = (
        output_size(size, window, stride, pair)
        for size, window, pair in zip(x[1:3], kernel[:2], padding, strict=True)
    )
    return Geometry((x[0], height, width, kernel[3]), stride, padding)


def convolution(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the cross-correlation [N, H', W', K] of images [N, H, W, C] with kernels.

    The kernel is [height, width, C / groups, K]; there are as many groups as that needs.
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        (geometry.stride, geometry.stride),
        geometry.padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[3] // kernel.shape[2],
    )


def input_gradient(y: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the gradient for the images from that for the result, y, and the kernel."""
    forward = geometry._replace(shape=y.shape)
    return transpose(lambda x: convolution(x, kernel, forward), geometry.shape, y)


def kernel_gradient(x: jax.Array, y: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the gradient for the kernel from the images and that for the result, y."""
    forward = geometry._replace(shape=y.shape)
    return transpose(lambda kernel: convolution(x, kernel, forward), geometry.shape, y)


def transpose(linear: Callable[[jax.Array], jax.Array], shape: Shape, y: jax.Array) -> jax.Array:
    """Returns the transpose of a linear function, applied to an array like its results.

    `jax.linear_transpose` refuses an array that varies over the devices of a `shard_map`.

    Args:
      linear: takes arrays of that shape, and of the type of y.
      shape: of what is returned.
      y: what the function returns has its shape and type.
    """
    return jax.vjp(linear, jnp.zeros_like(y, shape=shape))[1](y)[0]
