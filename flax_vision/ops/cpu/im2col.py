"""A convolution and its two gradients as matrix products, for a CPU.

XLA's matrix products reach the limit of a CPU. Its convolutions stay below it where images have few
channels and far below on maps of one or two pixels, and so do its gradients of kernels of few
channels where there is AVX-512. Here what a row of the result sees of the images is gathered into a
row of a matrix, to be multiplied with the kernel:

    y = gather(x) @ matrix(kernel)

Both functions are linear, so that their transposes give the two gradients. The gathered matrix is
as many times as large as the images as windows overlap; it is made for so many images, or rows of
one image, at a time as fit into the cache.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flax_vision.ops.xla_convolution import Shape, transpose

_CACHE_BYTES = 4 << 20
_Linear = Callable[[jax.Array], jax.Array]


class Form(NamedTuple):
    """How a convolution becomes a product.

    Attributes:
      gather: makes padded images [N, H, W, C] to [N, H', rows, m].
      matrix: makes a kernel to [m, n], where rows x n are the W' x K numbers of a row of maps.
      width: rows x m.
    """

    gather: _Linear
    matrix: _Linear
    width: int


def patches(kernel: Shape, columns: int, stride: int) -> Form:
    """Each pixel of the result sees its window of the image.

    Args:
      kernel: [height, width, C, K], its shape.
      columns: W of the padded images.
      stride: between two windows, in pixels.
    """
    height, width, channels, features = kernel
    size = height * width * channels

    def gather(x: jax.Array) -> jax.Array:
        rows = [every(x, 1, i, height, stride) for i in range(height)]
        return jnp.concatenate(
            [every(row, 2, j, width, stride) for row in rows for j in range(width)], 3
        )

    return Form(
        gather, lambda kernel: kernel.reshape(size, features), _count(columns, width, stride) * size
    )


def bands(kernel: Shape, columns: int, stride: int) -> Form:
    """Some neighbors of the result see what of the image is under them: for few channels.

    Each row of the kernel becomes a banded matrix from columns of the image to those of the result:
    more arithmetic, some of it with zeros, and less copying of short runs of numbers. The arguments
    are those of `patches`.
    """
    height, width, channels, features = kernel
    count = _count(columns, width, stride)
    together = _divisor(count, 12 / (2 + channels))  # fastest so: 4 of one channel, 2 of three
    span = (together - 1) * stride + width
    # Which tap of the kernel lies between a column of the image and one of the result.
    tap = np.arange(span)[:, None] - stride * np.arange(together)
    is_tap = (tap[..., None] == np.arange(width)).astype(np.float32)

    def gather(x: jax.Array) -> jax.Array:
        starts = range(0, count * stride, together * stride)
        x = jnp.stack([x[:, :, i : i + span].reshape(*x.shape[:2], -1) for i in starts], 2)
        return jnp.concatenate([every(x, 1, i, height, stride) for i in range(height)], 3)

    def matrix(kernel: jax.Array) -> jax.Array:
        spread = jnp.einsum("ytck,xwt->yxcwk", kernel, is_tap)
        return spread.reshape(height * span * channels, together * features)

    return Form(gather, matrix, count // together * height * span * channels)


def convolution(
    form: Form, x: jax.Array, kernel: jax.Array, shape: Shape, stride: int
) -> jax.Array:
    """Returns the convolution of padded images and a kernel: [N, H', W', K], `shape`."""
    matrix = form.matrix(kernel)
    images, rows = _piece(shape, form.width * x.dtype.itemsize)

    def one(i: jax.Array) -> jax.Array:
        seen = form.gather(_under(x, i, images, rows, shape[1], kernel.shape[0], stride))
        return lax.optimization_barrier(seen) @ matrix

    return lax.map(one, jnp.arange(_pieces(shape, images, rows))).reshape(shape)


def input_gradient(form: Form, y: jax.Array, kernel: jax.Array, shape: Shape) -> jax.Array:
    """Returns the gradient for the padded images, `shape`, from the result's and the kernel."""
    matrix = form.matrix(kernel)
    images, _ = _piece(y.shape, form.width * y.dtype.itemsize)

    def one(i: jax.Array) -> jax.Array:
        seen_by = lax.dynamic_slice_in_dim(y, i * images, images)
        seen_by = seen_by.reshape(images, y.shape[1], -1, matrix.shape[1])
        seen = lax.dot_general(seen_by, matrix, (((3,), (1,)), ((), ())))
        return transpose(form.gather, (images, *shape[1:]), lax.optimization_barrier(seen))

    return lax.map(one, jnp.arange(shape[0] // images)).reshape(shape)


def kernel_gradient(form: Form, x: jax.Array, y: jax.Array, shape: Shape, stride: int) -> jax.Array:
    """Returns the gradient for the kernel, `shape`, from padded images and the result's."""
    matrix = jax.eval_shape(form.matrix, jax.ShapeDtypeStruct(shape, x.dtype))
    images, rows = _piece(y.shape, form.width * x.dtype.itemsize)

    def add(i: jax.Array, total: jax.Array) -> jax.Array:
        seen = form.gather(_under(x, i, images, rows, y.shape[1], shape[0], stride))
        seen_by = _under(y, i, images, rows, y.shape[1], 1, 1)
        return total + of_columns(seen, seen_by.reshape(*seen.shape[:3], -1))

    start = jnp.zeros_like(y, shape=matrix.shape)
    total = lax.fori_loop(0, _pieces(y.shape, images, rows), add, start)
    return transpose(form.matrix, shape, total)


def of_columns(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the products of the columns of a [..., m] and b [..., n]: [m, n].

    XLA transposes the left operand of such a product first, so that should be the smaller.
    """
    a, b = lax.optimization_barrier((a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])))
    rows = (((0,), (0,)), ((), ()))
    if a.shape[1] <= b.shape[1]:
        return lax.dot_general(a, b, rows)
    return lax.optimization_barrier(lax.dot_general(b, a, rows)).T


def _count(size: int, window: int, stride: int) -> int:
    return (size - window) // stride + 1


def every(x: jax.Array, axis: int, start: int, window: int, stride: int) -> jax.Array:
    """Returns, along an axis, the pixel at `start` of every window."""
    end = start + (_count(x.shape[axis], window, stride) - 1) * stride + 1
    return lax.slice_in_dim(x, start, end, stride, axis)


def _piece(shape: Shape, row_bytes: int) -> tuple[int, int]:
    """Returns how many images, and how many rows of each, are taken at a time.

    Args:
      shape: [N, H', W', K] of the result of the convolution.
      row_bytes: what is gathered for one of its rows.
    """
    images, rows = shape[:2]
    if rows * row_bytes > _CACHE_BYTES:
        return 1, _divisor(rows, _CACHE_BYTES / row_bytes)
    return _divisor(images, _CACHE_BYTES / (rows * row_bytes)), rows


def _divisor(number: int, wanted: float) -> int:
    """Returns the divisor nearest, as a ratio, to what is wanted."""
    divisors = [divisor for divisor in range(1, number + 1) if number % divisor == 0]
    return min(divisors, key=lambda divisor: abs(math.log(divisor / wanted)))


def _pieces(shape: Shape, images: int, rows: int) -> int:
    """Returns how many pieces of so many images and rows there are in [N, H', ...]."""
    return shape[0] // images * (shape[1] // rows)


def _under(
    x: jax.Array, i: jax.Array, images: int, rows: int, of: int, window: int, stride: int
) -> jax.Array:
    """Returns what piece i of the result sees of the padded images.

    Args:
      x: [N, H, W, C].
      i: number of the piece.
      images: in each piece.
      rows: of each image in a piece.
      of: rows of the whole result.
      window: height of the kernel.
      stride: between two windows, in pixels.
    """
    across = of // rows
    start = (i // across * images, i % across * rows * stride, 0, 0)
    return lax.dynamic_slice(x, start, (images, (rows - 1) * stride + window, *x.shape[2:]))
