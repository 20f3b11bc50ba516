"""Convolution of images, lowered to what is fast."""

import jax
from jax import lax

from flax_vision.ops import onednn
from flax_vision.ops.backend import prefers_fast_forms
from flax_vision.ops.padding import Padding, Pairs, padding_pairs


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    stride: int = 1,
    padding: Padding = "VALID",
    groups: int = 1,
    bias: jax.Array | None = None,
) -> jax.Array:
    """Returns the cross-correlation of images with kernels.

    Args:
      x: [N, H, W, C].
      kernel: [height, width, C / groups, K].
      stride: between two windows, in pixels.
      padding: zeros around the image, see `padding_pairs`.
      groups: into which the channels are divided; each group of kernels sees one of them.
      bias: [K], added to every pixel of the result.

    Returns:
      [N, H', W', K].
    """
    pads = padding_pairs(padding, x.shape, kernel.shape[:2], stride)
    is_whole = kernel.shape[:2] == x.shape[1:3] and not any(map(sum, pads))
    fast = groups == 1 and prefers_fast_forms()
    if fast and not is_whole and onednn.takes(x, kernel):
        return onednn.convolution(x, kernel, bias, stride, pads)
    if fast and is_whole:
        y = _whole(x, kernel)
    elif fast and kernel.shape[:2] == (1, 1) and not any(map(sum, pads)):
        y = _pointwise(x[:, ::stride, ::stride], kernel)
    else:
        y = _general(x, kernel, stride, pads, groups)
    return y if bias is None else y + bias.reshape(1, 1, 1, -1)


def _general(x: jax.Array, kernel: jax.Array, stride: int, pads: Pairs, groups: int) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _pointwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 1x1 convolution as a matrix product, 2 to 10 times as fast as XLA's convolution."""
    return lax.dot_general(x, kernel[0, 0], (((3,), (0,)), ((), ())))


def _whole(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution with kernels as large as the image: a fully connected layer."""
    n, k = x.shape[0], kernel.shape[-1]
    matrix = kernel.reshape(-1, k)
    return (x.reshape(n, matrix.shape[0]) @ matrix).reshape(n, 1, 1, k)
