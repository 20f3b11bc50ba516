"""Pooling over windows of square shape."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from flax_vision.ops.backend import with_cpu_kernel
from flax_vision.ops.padding import Padding, padding_pairs
from flax_vision.ops.precision import at_least_float32


@with_cpu_kernel
def max_pool(x: Array, size: int, stride: int, padding: Padding = "VALID") -> Array:
    """Computes the maximum of each window.

    Args:
      x: Images [N, H, W, C]; padding never wins.
      size: Height and width of the window.
      stride: Distance between two windows, in pixels.
      padding: Padding of the images, see `padding_pairs`.

    Returns:
      Maps [N, H', W', C].
    """
    pads = [(0, 0), *padding_pairs(padding, x.shape, (size, size), stride), (0, 0)]
    return _reduce_windows(x, lax.max, -np.inf, size, stride, pads)


@with_cpu_kernel
def sum_pool(x: Array, size: int, stride: int) -> Array:
    """Computes the sum of each window, without padding; the arguments are as in `max_pool`."""
    return _reduce_windows(x, lax.add, 0.0, size, stride, "VALID")


def _reduce_windows(
    x: Array, combine: Any, identity: float, size: int, stride: int, padding: Any
) -> Array:
    # Pooling of Flax cannot be exported to ONNX with explicit padding.
    start = np.asarray(identity, x.dtype)
    return lax.reduce_window(x, start, combine, (1, size, size, 1), (1, stride, stride, 1), padding)


def average_pool(x: Array, size: int, stride: int) -> Array:
    """Computes the mean of each window, without padding; the arguments are as in `max_pool`."""
    return (sum_pool(at_least_float32(x), size, stride) / size**2).astype(x.dtype)


def adaptive_average_pool(x: Array, size: int) -> Array:
    """Computes the means of size x size windows that cover the images, spread as in PyTorch.

    Args:
      x: Images [N, H, W, C] of any height and width.
      size: Height and width of the result.

    Returns:
      Maps [N, size, size, C].
    """
    wide = at_least_float32(x)
    rows, columns = (
        jnp.asarray(_averaging_matrix(length, size), wide.dtype) for length in x.shape[1:3]
    )
    return jnp.einsum("ih,jw,nhwc->nijc", rows, columns, wide).astype(x.dtype)


def _averaging_matrix(length: int, size: int) -> np.ndarray:
    """Returns the weights [size, length] of `size` windows over `length` pixels."""
    weights = np.zeros((size, length))
    for i in range(size):
        start, end = i * length // size, math.ceil((i + 1) * length / size)
        weights[i, start:end] = 1 / (end - start)
    return weights
