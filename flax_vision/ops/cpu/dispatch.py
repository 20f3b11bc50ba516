"""The fastest pure-JAX form of a convolution and its gradients on a CPU, by shape.

The bounds come from measurements on two cores; `benchmarks/convolutions.py` repeats them. They hold
with the settings of `runtime.environment`: XLA's convolutions are Eigen's, and barriers are heeded.
"""

import math

import jax.numpy as jnp
from jax import Array, lax

from flax_vision.ops.cpu import im2col, winograd, xla_convolution
from flax_vision.ops.cpu.xla_convolution import Geometry, Shape
from flax_vision.ops.padding import Pairs
from flax_vision.runtime import cpu_features

# Winograd's form: channels that pay for the transform of the images, instead of XLA's convolution;
# the same with AVX-512, instead of oneDNN's convolution or for a kernel's gradient; tiles that pay
# for the transform of the kernel.
WINOGRAD_MIN_CHANNELS = 64
WINOGRAD_MIN_CHANNELS_AVX512 = 96
WINOGRAD_MIN_TILES = 96

# XLA's kernel gradient beats products for large windows and batches. With AVX-512 it also needs
# this many channels, and no stride; without, fewer channels (but more than one) are enough. Intel's
# processors since Sapphire Rapids, recognized by AMX, need smaller windows.
XLA_GRADIENT_MIN_WINDOW = 200
XLA_GRADIENT_MIN_WINDOW_AMX = 144
XLA_GRADIENT_MIN_CHANNELS = 16
XLA_GRADIENT_MIN_BATCH = 8

# Without AVX-512, oneDNN's kernel gradient is slow for windows of this size.
ONEDNN_SLOW_WINDOW = 350

# Without AVX-512, oneDNN gathers patches for wider windows with a stride and padding.
ONEDNN_MAX_WIDTH = 7

# oneDNN reads the kernel once per image. For a large kernel and tiny maps that costs more than a
# product over the pixels of all images, unless there are few of them.
TINY_MAP_PIXELS = 4 * 4
LARGE_KERNEL_SIZE = 1 << 20
PRODUCT_MIN_PIXELS = 64


def conv_jax(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """Computes the convolution of images with kernels."""
    shape, stride, padding = geometry
    if _is_pointwise(kernel.shape, stride):
        return _pad(x, padding) @ kernel[0, 0]
    if _suits_winograd(kernel.shape, shape, geometry):
        return winograd.conv_winograd(x, kernel, shape, padding)
    padded = _padded_shape(x.shape, padding)
    if _suits_products(kernel.shape, padded, shape):
        form = _im2col(kernel.shape, padded, stride)
        return im2col.conv_im2col(form, _pad(x, padding), kernel, shape, stride)
    return xla_convolution.conv_xla(x, kernel, geometry)


def input_gradient_jax(dy: Array, kernel: Array, geometry: Geometry) -> Array:
    """Computes the gradient for the images from the gradient `dy` of the result."""
    shape, stride, padding = geometry
    (top, bottom), (left, right) = padding
    if _is_pointwise(kernel.shape, stride):
        return lax.dynamic_slice(dy @ kernel[0, 0].T, (0, top, left, 0), shape)
    if _suits_winograd(kernel.shape, shape, geometry):
        pads = ((2 - top, 2 - bottom), (2 - left, 2 - right))
        return winograd.conv_winograd(dy, kernel, shape, pads, transposed=True)
    padded = _padded_shape(shape, padding)
    if _suits_products(kernel.shape, padded, dy.shape):
        form = _im2col(kernel.shape, padded, stride)
        gradient = im2col.input_gradient_im2col(form, dy, kernel, padded)
        return lax.dynamic_slice(gradient, (0, top, left, 0), shape)
    return xla_convolution.input_gradient_xla(dy, kernel, geometry)


def kernel_gradient_jax(x: Array, dy: Array, geometry: Geometry) -> Array:
    """Computes the gradient for the kernel from the gradient `dy` of the result."""
    shape, stride, padding = geometry
    if shape[:2] == (1, 1):
        pixels = _pad(x, padding)[:, ::stride, ::stride]
        return im2col.multiply_columns(pixels, dy).reshape(shape)
    if _winograd_is_fastest(shape, dy.shape, geometry):
        return winograd.kernel_gradient_winograd(x, dy, padding)
    if _suits_xla_gradient(shape, stride, dy.shape):
        # XLA would fuse its transpositions with all operations before them.
        x, dy = lax.optimization_barrier((x, dy))
        return xla_convolution.kernel_gradient_xla(x, dy, geometry)
    form = _im2col(shape, _padded_shape(x.shape, padding), stride)
    return im2col.kernel_gradient_im2col(form, _pad(x, padding), dy, shape, stride)


def beats_onednn(kernel: Shape, geometry: Geometry) -> bool:
    """Tells whether `conv_jax` is faster than oneDNN for this shape of the kernel.

    Large kernels on tiny maps are 1.1 to 3 times as fast. Winograd's form of 3x3 kernels with many
    channels is 1.1 to 1.8 times as fast. Without AVX-512, oneDNN also loses where it gathers
    patches, because it then adds a bias and a ReLU value by value. It takes 7 times as long for the
    first layer of torchvision's AlexNet.
    """
    (top, _), (left, _) = geometry.padding
    is_wide = kernel[1] > ONEDNN_MAX_WIDTH and geometry.stride > 1 and max(top, left) > 0
    is_gathered = is_wide and not _has("avx512f")
    is_product = _is_large_on_tiny_map(kernel, geometry.shape)
    return is_gathered or is_product or input_gradient_beats_onednn(kernel, geometry)


def input_gradient_beats_onednn(kernel: Shape, geometry: Geometry) -> bool:
    """Tells whether `input_gradient_jax` is faster than oneDNN: where Winograd's form is."""
    return _winograd_is_fastest(kernel, geometry.shape, geometry)


def kernel_gradient_beats_onednn(dy: Shape, geometry: Geometry) -> bool:
    """Tells whether `kernel_gradient_jax` is faster than oneDNN 3.2 for this shape of the result.

    Large kernels on tiny maps are 1.1 to 3 times as fast. Winograd's form of 3x3 kernels with many
    channels is up to 1.5 times as fast. For large windows without AVX-512 the factor is 1.1 to 4.
    There oneDNN has a third to two thirds of the speed of its other convolutions.
    """
    kernel = geometry.shape
    if _winograd_is_fastest(kernel, dy, geometry) or _is_large_on_tiny_map(kernel, dy):
        return True
    is_large = kernel[:2] != (1, 1) and math.prod(kernel[:3]) >= ONEDNN_SLOW_WINDOW
    return is_large and dy[0] >= XLA_GRADIENT_MIN_BATCH and not _has("avx512f")


def _is_large_on_tiny_map(kernel: Shape, maps: Shape) -> bool:
    pixels = maps[1] * maps[2]
    is_tiny = pixels <= TINY_MAP_PIXELS and maps[0] * pixels >= PRODUCT_MIN_PIXELS
    return is_tiny and math.prod(kernel) >= LARGE_KERNEL_SIZE


def _has(instructions: str) -> bool:
    return instructions in cpu_features.flags()


def _winograd_is_fastest(kernel: Shape, maps: Shape, geometry: Geometry) -> bool:
    """Tells whether Winograd's form beats oneDNN, and all other forms of a kernel's gradient."""
    min_channels = WINOGRAD_MIN_CHANNELS_AVX512 if _has("avx512f") else WINOGRAD_MIN_CHANNELS
    return min(kernel[2:]) >= min_channels and _suits_winograd(kernel, maps, geometry)


def _suits_winograd(kernel: Shape, maps: Shape, geometry: Geometry) -> bool:
    """Tells whether Winograd's transforms cost less than the products that they save."""
    images, rows, columns, _ = maps
    tiles = images * -(-rows // 2) * -(-columns // 2)
    pays = min(kernel[2:]) >= WINOGRAD_MIN_CHANNELS and tiles >= WINOGRAD_MIN_TILES
    # With more padding, the gradient for the images would be a part of a convolution.
    is_plain = geometry.stride == 1 and max(map(max, geometry.padding)) <= 2
    return kernel[:2] == (3, 3) and is_plain and pays


def _suits_xla_gradient(kernel: Shape, stride: int, maps: Shape) -> bool:
    """Tells whether XLA's kernel gradient is faster than products: by a factor of 1.1 to 2."""
    window, channels = math.prod(kernel[:3]), min(kernel[2:])
    if maps[0] < XLA_GRADIENT_MIN_BATCH:
        return False
    if not _has("avx512f"):
        has_few = 1 < channels < XLA_GRADIENT_MIN_CHANNELS
        return _has("avx2") and (has_few or window >= XLA_GRADIENT_MIN_WINDOW)
    min_window = XLA_GRADIENT_MIN_WINDOW_AMX if _has("amx_tile") else XLA_GRADIENT_MIN_WINDOW
    return stride == 1 and channels >= XLA_GRADIENT_MIN_CHANNELS and window >= min_window


def _suits_products(kernel: Shape, padded: Shape, maps: Shape) -> bool:
    """Tells whether products beat XLA's convolution: for narrow images and tiny maps."""
    is_tiny = kernel[2] >= 24 and min(maps[1:3]) < min(3, *kernel[:2])
    return is_tiny or _is_narrow(kernel, padded)


def _im2col(kernel: Shape, padded: Shape, stride: int) -> im2col.Im2Col:
    make = im2col.im2col_bands if _is_narrow(kernel, padded) else im2col.im2col_patches
    return make(kernel, padded[2], stride)


def _is_narrow(kernel: Shape, padded: Shape) -> bool:
    return kernel[2] <= 8 and padded[2] <= 12 * kernel[1]


def _is_pointwise(kernel: Shape, stride: int) -> bool:
    return kernel[:2] == (1, 1) and stride == 1


def _padded_shape(shape: Shape, padding: Pairs) -> Shape:
    images, height, width, channels = shape
    return images, height + sum(padding[0]), width + sum(padding[1]), channels


def _pad(x: Array, padding: Pairs) -> Array:
    return jnp.pad(x, ((0, 0), *padding, (0, 0)))
