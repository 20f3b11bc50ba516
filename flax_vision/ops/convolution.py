"""Convolution of images, with the operations that may follow it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from flax_vision.ops.backend import with_cpu_kernel
from flax_vision.ops.padding import Padding, Pairs, output_size, padding_pairs


@with_cpu_kernel
def conv(
    x: Array,
    kernel: Array,
    stride: int = 1,
    padding: Padding = "VALID",
    groups: int = 1,
    scale: Array | None = None,
    bias: Array | None = None,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """Computes relu(scale * y + bias + residual) of the cross-correlation y with kernels.

    Args:
      x: Images [N, H, W, C].
      kernel: Kernels [height, width, C / groups, K]. With a scale they may be more precise than
        `x`, so that their product with the scale is rounded once.
      stride: Distance between two windows, in pixels.
      padding: Zeros around the images, see `padding_pairs`.
      groups: Number of groups of channels; each group of kernels sees one of them.
      scale: Factor [K] of each output channel.
      bias: Summand [K] of each output channel.
      residual: Maps [N, H', W', K] to add.
      relu: Applies a ReLU at the end.

    Returns:
      Maps [N, H', W', K].

    Raises:
      ValueError: The kernels do not fit the channels or the padded images.
    """
    pads = conv_padding(x.shape, kernel.shape, stride, padding, groups)
    kernel = scale_kernel(kernel, scale, x.dtype)
    return apply_epilogue(cross_correlate(x, kernel, stride, pads), bias, residual, relu)


def scale_kernel(kernel: Array, scale: Array | None, dtype: jnp.dtype) -> Array:
    """Multiplies each output channel of a kernel by its factor, and rounds the product once."""
    return kernel if scale is None else (kernel * scale.reshape(1, 1, 1, -1)).astype(dtype)


def cross_correlate(x: Array, kernel: Array, stride: int, padding: Pairs) -> Array:
    """Computes the cross-correlation; the shape of the kernels determines the number of groups."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[3] // kernel.shape[2],
    )


@with_cpu_kernel
def apply_epilogue(y: Array, bias: Array | None, residual: Array | None, relu: bool) -> Array:
    """Computes relu(y + bias + residual); each operand but `y` may be absent.

    Args:
      y: Maps [N, H, W, K].
      bias: Summand [K] of each channel.
      residual: Maps [N, H, W, K] to add.
      relu: Applies a ReLU at the end.
    """
    y = y if bias is None else y + bias.reshape(1, 1, 1, -1)
    y = y if residual is None else y + residual
    return jax.nn.relu(y) if relu else y


def conv_padding(
    images: Sequence[int], kernel: Sequence[int], stride: int, padding: Padding, groups: int
) -> Pairs:
    """Returns the padding of a convolution, and checks the shapes of its operands.

    Raises:
      ValueError: The kernels do not fit the channels or the padded images.
    """
    pads = padding_pairs(padding, images, kernel[:2], stride)
    sizes = map(output_size, images[1:3], kernel[:2], (stride, stride), pads)
    if images[3] != kernel[2] * groups or min(sizes) < 1:
        kernel_shape, image_shape = (",".join(map(str, shape)) for shape in (kernel, images))
        raise ValueError(
            f"kernels [{kernel_shape}] in {groups} groups do not fit images [{image_shape}] with "
            f"padding {pads}; the groups must have all channels, and kernels must not be larger "
            "than padded images."
        )
    return pads
