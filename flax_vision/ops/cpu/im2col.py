"""A convolution and its gradients as matrix products (im2col), for a CPU.

XLA's matrix products reach the limit of a CPU. Its convolutions stay below it for images of few
channels, and far below on maps of one or two pixels. So do its gradients of kernels of few channels
with AVX-512. Here the pixels under each row of the result become a row of a matrix:

    y = gather(x) @ matrix(kernel).

Both functions are linear, so their transposes give the two gradients. The gathered matrix is larger
than the images by the overlap of the windows. It is made in chunks of images, or of rows of one
image, that fit into the cache.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from flax_vision.ops.cpu.windows import window_slices
from flax_vision.ops.cpu.xla_convolution import Shape, transpose
from flax_vision.ops.padding import output_size

_CACHE_BYTES = 4 << 20
_Linear = Callable[[Array], Array]


class Im2Col(NamedTuple):
    """A convolution as a matrix product.

    Attributes:
      gather: Function from padded images [N, H, W, C] to [N, H', rows, m].
      matrix: Function from a kernel to [m, n]; rows x n are the W' x K values of a row of maps.
      row_size: Gathered values for a row of maps, rows x m.
    """

    gather: _Linear
    matrix: _Linear
    row_size: int


def im2col_patches(kernel: Shape, width: int, stride: int) -> Im2Col:
    """Gathers the window of each output pixel.

    Args:
      kernel: Shape of the kernel, [height, width, C, K].
      width: Width of the padded images.
      stride: Distance between two windows, in pixels.
    """
    size = math.prod(kernel[:3])

    def gather(x: Array) -> Array:
        rows = window_slices(x, 1, kernel[0], stride)
        pixels = [pixel for row in rows for pixel in window_slices(row, 2, kernel[1], stride)]
        return jnp.concatenate(pixels, 3)

    count = output_size(width, kernel[1], stride)
    return Im2Col(gather, lambda kernel: kernel.reshape(size, kernel.shape[3]), count * size)


def im2col_bands(kernel: Shape, width: int, stride: int) -> Im2Col:
    """Gathers the pixels under some neighboring output pixels together: for few channels.

    Each row of the kernel becomes a banded matrix from columns of the image to columns of the
    result: more arithmetic, some of it with zeros, and fewer copies of short runs of values. The
    arguments are as in `im2col_patches`.
    """
    height, taps, channels, features = kernel
    count = output_size(width, taps, stride)
    together = _nearest_divisor(count, 12 / (2 + channels))  # fastest: 4 of one channel, 2 of three
    span = (together - 1) * stride + taps
    # The tap of the kernel between a column of the image and one of the result.
    tap = np.arange(span)[:, None] - stride * np.arange(together)
    is_tap = (tap[..., None] == np.arange(taps)).astype(np.float32)

    def gather(x: Array) -> Array:
        starts = range(0, count * stride, together * stride)
        x = jnp.stack([x[:, :, i : i + span].reshape(*x.shape[:2], -1) for i in starts], 2)
        return jnp.concatenate(window_slices(x, 1, height, stride), 3)

    def matrix(kernel: Array) -> Array:
        bands = jnp.einsum("ytck,xwt->yxcwk", kernel, is_tap)
        return bands.reshape(height * span * channels, together * features)

    return Im2Col(gather, matrix, count // together * height * span * channels)


def conv_im2col(form: Im2Col, x: Array, kernel: Array, shape: Shape, stride: int) -> Array:
    """Computes the convolution [N, H', W', K], of the given shape, of padded images."""
    matrix = form.matrix(kernel)
    chunk = _Chunk.of(shape, form.row_size * x.dtype.itemsize)

    def multiply(i: Array) -> Array:
        gathered = form.gather(chunk.slice(x, i, kernel.shape[0], stride))
        return lax.optimization_barrier(gathered) @ matrix

    return lax.map(multiply, jnp.arange(chunk.total)).reshape(shape)


def input_gradient_im2col(form: Im2Col, dy: Array, kernel: Array, shape: Shape) -> Array:
    """Computes the gradient for padded images of the given shape."""
    matrix = form.matrix(kernel)
    images = _Chunk.of(dy.shape, form.row_size * dy.dtype.itemsize).images

    def multiply(i: Array) -> Array:
        dy_chunk = lax.dynamic_slice_in_dim(dy, i * images, images)
        dy_chunk = dy_chunk.reshape(images, dy.shape[1], -1, matrix.shape[1])
        gathered = lax.dot_general(dy_chunk, matrix, (((3,), (1,)), ((), ())))
        return transpose(form.gather, (images, *shape[1:]), lax.optimization_barrier(gathered))

    return lax.map(multiply, jnp.arange(shape[0] // images)).reshape(shape)


def kernel_gradient_im2col(form: Im2Col, x: Array, dy: Array, shape: Shape, stride: int) -> Array:
    """Computes the gradient for a kernel of the given shape, from padded images."""
    matrix = jax.eval_shape(form.matrix, jax.ShapeDtypeStruct(shape, x.dtype))
    chunk = _Chunk.of(dy.shape, form.row_size * x.dtype.itemsize)

    def add(i: Array, total: Array) -> Array:
        gathered = form.gather(chunk.slice(x, i, shape[0], stride))
        dy_chunk = chunk.slice(dy, i, 1, 1)
        return total + multiply_columns(gathered, dy_chunk.reshape(*gathered.shape[:3], -1))

    start = jnp.zeros_like(dy, shape=matrix.shape)
    return transpose(form.matrix, shape, lax.fori_loop(0, chunk.total, add, start))


def multiply_columns(a: Array, b: Array) -> Array:
    """Computes the products [m, n] of the columns of a [..., m] and b [..., n].

    XLA transposes the left operand of such a product first, so the smaller one stands there.
    """
    a, b = lax.optimization_barrier((a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])))
    rows = (((0,), (0,)), ((), ()))
    if a.shape[1] <= b.shape[1]:
        return lax.dot_general(a, b, rows)
    return lax.optimization_barrier(lax.dot_general(b, a, rows)).T


class _Chunk(NamedTuple):
    """Some images, or some rows of one, whose gathered matrix fits into the cache.

    Attributes:
      images: Images of a chunk.
      rows: Rows of the result of each of them.
      per_image: Chunks of one image.
      total: Chunks of the whole result.
    """

    images: int
    rows: int
    per_image: int
    total: int

    @classmethod
    def of(cls, shape: Shape, row_bytes: int) -> "_Chunk":
        """Divides a result [N, H', W', K] with so many gathered bytes for each of its rows."""
        images, rows = 1, shape[1]
        if rows * row_bytes > _CACHE_BYTES:
            rows = _nearest_divisor(rows, _CACHE_BYTES / row_bytes)
        else:
            images = _nearest_divisor(shape[0], _CACHE_BYTES / (rows * row_bytes))
        per_image = shape[1] // rows
        return cls(images, rows, per_image, shape[0] // images * per_image)

    def slice(self, x: Array, i: Array, window: int, stride: int) -> Array:
        """Returns the part of padded images under chunk `i` of the result."""
        start = (i // self.per_image * self.images, i % self.per_image * self.rows * stride, 0, 0)
        sizes = (self.images, (self.rows - 1) * stride + window, *x.shape[2:])
        return lax.dynamic_slice(x, start, sizes)


def _nearest_divisor(number: int, wanted: float) -> int:
    """Returns the divisor of a number whose ratio to the wanted one is nearest to 1."""
    divisors = [divisor for divisor in range(1, number + 1) if number % divisor == 0]
    return min(divisors, key=lambda divisor: abs(math.log(divisor / wanted)))
