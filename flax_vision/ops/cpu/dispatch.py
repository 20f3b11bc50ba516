"""A convolution and its two gradients on a CPU: for each shape the form that is fast there.

The bounds come from measurements on two cores, which `benchmarks/convolutions.py` makes again, with
the settings of `process`: XLA's convolutions are not YNNPACK's, and barriers are heeded. The
functions are those of `xla_convolution`.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops import xla_convolution
from flax_vision.ops.cpu import im2col, winograd
from flax_vision.ops.padding import Pairs
from flax_vision.ops.xla_convolution import Geometry, Shape
from flax_vision.runtime import cpu_features

# Channels that pay for Winograd's transform of the images: in place of XLA's convolution; and in
# place of oneDNN's, or of a gradient for a kernel, where there is AVX-512. Tiles that pay for the
# transform of the kernel.
_FEWEST_CHANNELS = 64
_FEWEST_CHANNELS_OF_BEST = 96
_FEWEST_TILES = 96

# XLA's gradient of a kernel is faster than products where windows have so many numbers, and there
# are so many images. With AVX-512 there must be so many channels, and no stride; without it fewer
# channels, but not one alone, are enough by themselves. Intel's processors since Sapphire Rapids,
# which AMX tells though it is not used, are content with fewer numbers.
_FEWEST_IN_A_WINDOW = 200
_FEWEST_IN_A_WINDOW_WITH_AMX = 144
_FEWEST_CHANNELS_OF_GRADIENT = 16
_FEWEST_IMAGES = 8

# Where windows have so many numbers, it is faster than that of oneDNN without AVX-512.
_LARGE_WINDOW = 350

# Without AVX-512, oneDNN gathers what is under wider windows, if they have a stride and padding.
_WIDEST_WINDOW = 7

# oneDNN reads a kernel anew for each image: a large one, for a tiny map, costs more than a product
# of the pixels of all images, unless those are few.
_TINY_MAP = 4 * 4
_LARGE_KERNEL = 1 << 20
_FEWEST_PIXELS = 64


def convolution(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the cross-correlation of images with kernels."""
    shape, stride, padding = geometry
    if _is_pointwise(kernel.shape, stride):
        return _pad(x, padding) @ kernel[0, 0]
    if _suits_winograd(kernel.shape, shape, geometry):
        return winograd.convolution(x, kernel, shape, padding)
    padded = _padded(x.shape, padding)
    if _suits_products(kernel.shape, padded, shape):
        form = _form(kernel.shape, padded, stride)
        return im2col.convolution(form, _pad(x, padding), kernel, shape, stride)
    return xla_convolution.convolution(x, kernel, geometry)


def input_gradient(y: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the gradient for the images."""
    shape, stride, padding = geometry
    (top, bottom), (left, right) = padding
    if _is_pointwise(kernel.shape, stride):
        return lax.dynamic_slice(y @ kernel[0, 0].T, (0, top, left, 0), shape)
    if _suits_winograd(kernel.shape, shape, geometry):
        pads = ((2 - top, 2 - bottom), (2 - left, 2 - right))
        return winograd.convolution(y, kernel, shape, pads, transposed=True)
    padded = _padded(shape, padding)
    if _suits_products(kernel.shape, padded, y.shape):
        gradient = im2col.input_gradient(_form(kernel.shape, padded, stride), y, kernel, padded)
        return lax.dynamic_slice(gradient, (0, top, left, 0), shape)
    return xla_convolution.input_gradient(y, kernel, geometry)


def kernel_gradient(x: jax.Array, y: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the gradient for the kernel."""
    shape, stride, padding = geometry
    if shape[:2] == (1, 1):
        return im2col.of_columns(_pad(x, padding)[:, ::stride, ::stride], y).reshape(shape)
    if _suits_winograd(shape, y.shape, geometry, _fewest_channels_of_best()):
        return winograd.kernel_gradient(x, y, padding)
    if _suits_xlas_gradient(shape, stride, y.shape):
        # XLA would make one operation of its transpositions and all that is before them.
        x, y = lax.optimization_barrier((x, y))
        return xla_convolution.kernel_gradient(x, y, geometry)
    form = _form(shape, _padded(x.shape, padding), stride)
    return im2col.kernel_gradient(form, _pad(x, padding), y, shape, stride)


def beats_onednn(kernel: Shape, geometry: Geometry) -> bool:
    """Whether `convolution` with a kernel of that shape is faster than that of oneDNN.

    It is for large kernels on tiny maps, by a factor of 1.1 to 3; for many channels, where
    Winograd's form of 3x3 is, by a factor of 1.1 to 1.8; and without AVX-512 where oneDNN gathers
    patches, for it adds a bias and a ReLU number by number then: torchvision's form of AlexNet's
    first layer takes 7 times as long.
    """
    is_gathered = _is_gathered_by_onednn(kernel, geometry)
    is_read_anew = _is_read_anew(kernel, geometry.shape)
    return is_gathered or is_read_anew or input_gradient_beats_onednn(kernel, geometry)


def input_gradient_beats_onednn(kernel: Shape, geometry: Geometry) -> bool:
    """Whether `input_gradient` is faster than that of oneDNN: where Winograd's form is."""
    return _suits_winograd(kernel, geometry.shape, geometry, _fewest_channels_of_best())


def kernel_gradient_beats_onednn(y: Shape, geometry: Geometry) -> bool:
    """Whether `kernel_gradient` of a result of that shape is faster than that of oneDNN 3.2.

    It is for large kernels on tiny maps, by a factor of 1.1 to 3; for many channels, where
    Winograd's form of 3x3 is, by one of up to 1.5; and for large windows without AVX-512 by one of
    1.1 to 4: there oneDNN has a third to two thirds of the speed of its other convolutions.
    """
    kernel = geometry.shape
    suits = _suits_winograd(kernel, y, geometry, _fewest_channels_of_best())
    if suits or _is_read_anew(kernel, y):
        return True
    is_large = kernel[:2] != (1, 1) and math.prod(kernel[:3]) >= _LARGE_WINDOW
    return is_large and y[0] >= _FEWEST_IMAGES and not _has("avx512f")


def _fewest_channels_of_best() -> int:
    return _FEWEST_CHANNELS_OF_BEST if _has("avx512f") else _FEWEST_CHANNELS


def _is_gathered_by_onednn(kernel: Shape, geometry: Geometry) -> bool:
    (top, _), (left, _) = geometry.padding
    is_wide = kernel[1] > _WIDEST_WINDOW and geometry.stride > 1 and max(top, left) > 0
    return is_wide and not _has("avx512f")


def _is_read_anew(kernel: Shape, maps: Shape) -> bool:
    pixels = maps[1] * maps[2]
    is_tiny = pixels <= _TINY_MAP and maps[0] * pixels >= _FEWEST_PIXELS
    return is_tiny and math.prod(kernel) >= _LARGE_KERNEL


def _has(instructions: str) -> bool:
    return instructions in cpu_features.flags()


def _suits_winograd(
    kernel: Shape, maps: Shape, geometry: Geometry, fewest: int = _FEWEST_CHANNELS
) -> bool:
    """Whether its transforms cost less than the products that they save."""
    images, rows, columns, _ = maps
    tiles = images * -(-rows // 2) * -(-columns // 2)
    pays = min(kernel[2:]) >= fewest and tiles >= _FEWEST_TILES
    # More padding, and the gradient for the images would be a part of a convolution.
    is_plain = geometry.stride == 1 and max(map(max, geometry.padding)) <= 2
    return kernel[:2] == (3, 3) and is_plain and pays


def _suits_xlas_gradient(kernel: Shape, stride: int, maps: Shape) -> bool:
    """Whether XLA's gradient of a kernel is faster than products: by a factor of 1.1 to 2."""
    numbers, channels = math.prod(kernel[:3]), min(kernel[2:])
    if maps[0] < _FEWEST_IMAGES:
        return False
    if not _has("avx512f"):
        has_few = 1 < channels < _FEWEST_CHANNELS_OF_GRADIENT
        return _has("avx2") and (has_few or numbers >= _FEWEST_IN_A_WINDOW)
    fewest = _FEWEST_IN_A_WINDOW_WITH_AMX if _has("amx_tile") else _FEWEST_IN_A_WINDOW
    return stride == 1 and channels >= _FEWEST_CHANNELS_OF_GRADIENT and numbers >= fewest


def _suits_products(kernel: Shape, padded: Shape, maps: Shape) -> bool:
    """Whether products are faster than XLA's convolution: for narrow images, and tiny maps."""
    is_tiny = kernel[2] >= 24 and min(maps[1:3]) < min(3, *kernel[:2])
    return is_tiny or _is_narrow(kernel, padded)


def _form(kernel: Shape, padded: Shape, stride: int) -> im2col.Form:
    make = im2col.bands if _is_narrow(kernel, padded) else im2col.patches
    return make(kernel, padded[2], stride)


def _is_narrow(kernel: Shape, padded: Shape) -> bool:
    return kernel[2] <= 8 and padded[2] <= 12 * kernel[1]


def _is_pointwise(kernel: Shape, stride: int) -> bool:
    return kernel[:2] == (1, 1) and stride == 1


def _padded(shape: Shape, padding: Pairs) -> Shape:
    images, height, width, channels = shape
    return images, height + sum(padding[0]), width + sum(padding[1]), channels


def _pad(x: jax.Array, padding: Pairs) -> jax.Array:
    return jnp.pad(x, ((0, 0), *padding, (0, 0)))
