"""3x3 convolutions by Winograd's minimal filtering: fewer products, more sums.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.1: F(2x2, 3x3)
takes 16 products for 4 pixels, in place of 36. Tiles of 4x4 pixels, two pixels apart, and the
kernels are transformed; between them are the 16 matrix products; the transform of those is a tile
of 2x2 pixels of the result. The gradient for the kernel is the transpose of that. It rounds about
as much as the sum over the window: by some 1e-6 of the largest number. An infinite pixel makes its
tiles NaN.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops.cpu.im2col import every, of_columns
from flax_vision.ops.padding import Pairs
from flax_vision.ops.xla_convolution import Shape

# Of transformed images that are multiplied at a time; more, where there would be more than four
# pieces of them. XLA compiles each piece, for a loop over them takes up to twice as long; a piece
# begins when the one before is done, so that it has its memory, if XLA heeds barriers.
_PIECE_BYTES = 56 << 20
_MOST_PIECES = 4

_TILE = 4

_Matrix = Sequence[Sequence[float]]
_Grid = Sequence[Sequence[jax.Array]]

# Their B^T, G and A^T.
_OF_IMAGE = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_OF_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_OF_RESULT = ((1, 1, 1, 0), (0, 1, -1, -1))


def convolution(
    x: jax.Array, kernel: jax.Array, shape: Shape, padding: Pairs, transposed: bool = False
) -> jax.Array:
    """Returns the cross-correlation of images with kernels, stride 1: [N, H', W', K], `shape`.

    Args:
      x: [N, H, W, C].
      kernel: [3, 3, C, K]; or [3, 3, K, C] if it is transposed.
      shape: of the result.
      padding: zeros around the images, at most two.
      transposed: takes the kernel turned by half a circle, as in the gradient for the images.
    """
    # What is made of the kernel, which is larger, would else be there from the start of a step.
    x, kernel = lax.optimization_barrier((x, kernel))
    rows = list(jnp.flip(kernel, (0, 1)) if transposed else kernel)
    kernels = lax.optimization_barrier(_transform(_OF_KERNEL, rows))
    axis = int(transposed)
    multiply = partial(lax.dot_general, dimension_numbers=(((3,), (axis,)), ((), ())))

    # Of x each piece takes what has waited for the one before.
    def pixels_of(piece: _Piece, x: jax.Array) -> jax.Array:
        products = _each(multiply, _seen(x, piece, padding), kernels)
        pixels = _pixels(_transform(_OF_RESULT, lax.optimization_barrier(products)))
        return pixels[:, : len(piece.rows), : shape[2]]

    first, *others = _pieces(shape, max(kernel.shape[2:]) * x.dtype.itemsize)
    y = _extended(pixels_of(first, x), shape)
    for piece in others:
        x, y = lax.optimization_barrier((x, y))
        place = (piece.images.start, piece.rows.start, 0, 0)
        y = lax.dynamic_update_slice(y, pixels_of(piece, x), place)
    return y


def kernel_gradient(x: jax.Array, y: jax.Array, padding: Pairs) -> jax.Array:
    """Returns the gradient for the kernel, [3, 3, C, K].

    Args:
      x: images [N, H, W, C].
      y: the gradient for the result of the convolution, [N, H', W', K].
      padding: zeros around the images, at most two.
    """

    def part(piece: _Piece, x: jax.Array, y: jax.Array) -> jax.Array:
        products = _each(of_columns, _seen(x, piece, padding), _seen_by(y, piece))
        rows = _transform(_transpose(_OF_KERNEL), lax.optimization_barrier(products))
        return jnp.stack([jnp.stack(row) for row in rows])

    # What is made of the images alone would else be there from the convolution on.
    x, y = lax.optimization_barrier((x, y))
    first, *others = _pieces(y.shape, max(x.shape[3], y.shape[3]) * x.dtype.itemsize)
    total = part(first, x, y)
    for piece in others:
        x, y, total = lax.optimization_barrier((x, y, total))
        total = total + part(piece, x, y)
    return total


class _Piece(NamedTuple):
    """A part of the result: which images, and which rows of them."""

    images: range
    rows: range


def _pieces(shape: Shape, channels_bytes: int) -> list[_Piece]:
    """Returns the pieces of a result [N, H', W', K]; each has an even number of rows, or the last.

    Args:
      shape: of the result.
      channels_bytes: of a pixel of the widest transformed images.
    """
    images, rows, columns, _ = shape
    tiles = images * -(-rows // 2) * -(-columns // 2)
    count = min(-(-(_TILE**2) * tiles * channels_bytes // _PIECE_BYTES), _MOST_PIECES)
    of_images = _cut(images, -(-images // count))
    of_rows = _cut(rows, 2 * -(-rows // 2 // max(count // images, 1)))
    return [_Piece(*ranges) for ranges in itertools.product(of_images, of_rows)]


def _cut(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _extended(pixels: jax.Array, shape: Shape) -> jax.Array:
    """Returns the result with the pixels of the first piece, and zeros for those of the others.

    Of zeros alone XLA would make one array for all layers of a shape, at the start of a step.
    """
    missing = [(0, whole - part, 0) for whole, part in zip(shape, pixels.shape, strict=True)]
    return lax.pad(pixels, jnp.zeros((), pixels.dtype), missing)


def _seen(x: jax.Array, piece: _Piece, padding: Pairs) -> _Grid:
    """Returns the transformed tiles that a piece sees of images: 4 x 4 arrays [N, T, U, C].

    There are T tiles above each other and U side by side, for an even number of pixels.
    """
    (images, rows), ((top, _), (left, right)) = piece, padding
    begin, end = rows.start - top, rows.start - top + 2 * -(-len(rows) // 2) + 2
    seen = x[images.start : images.stop, max(begin, 0) : end]
    vertical = (max(-begin, 0), max(end - x.shape[1], 0))
    odd = (x.shape[2] + left + right) % 2
    padded = jnp.pad(seen, ((0, 0), vertical, (left, right + odd), (0, 0)))
    lines = [every(padded, 1, a, _TILE, 2) for a in range(_TILE)]
    tiles = [[every(line, 2, b, _TILE, 2) for b in range(_TILE)] for line in lines]
    return lax.optimization_barrier(_transform(_OF_IMAGE, tiles))


def _seen_by(y: jax.Array, piece: _Piece) -> _Grid:
    """Returns the transformed tiles of a piece of the gradient for a result: [N, T, U, K]."""
    images, rows = piece
    y = y[images.start : images.stop, rows.start : rows.stop]
    even = jnp.pad(y, ((0, 0), (0, y.shape[1] % 2), (0, y.shape[2] % 2), (0, 0)))
    tiles = [[even[:, a::2, b::2] for b in range(2)] for a in range(2)]
    return lax.optimization_barrier(_transform(_transpose(_OF_RESULT), tiles))


def _each(function: Callable[..., jax.Array], left: _Grid, right: _Grid) -> list[list[jax.Array]]:
    """Returns the grid of what a function makes of the two arrays at each place."""
    return [list(map(function, *rows)) for rows in zip(left, right, strict=True)]


def _transpose(matrix: _Matrix) -> _Matrix:
    return list(zip(*matrix, strict=True))


def _transform(matrix: _Matrix, grid: _Grid) -> list[list[jax.Array]]:
    """Returns matrix @ grid @ matrix^T, whose elements are arrays."""
    columns = [_combine(matrix, column) for column in zip(*grid, strict=True)]
    return [_combine(matrix, row) for row in zip(*columns, strict=True)]


def _combine(matrix: _Matrix, arrays: Sequence[jax.Array]) -> list[jax.Array]:
    """Returns a sum of the arrays for each row of the matrix; what has factor 0 is left out."""
    return [
        reduce(add, [factor * x for factor, x in zip(row, arrays, strict=True) if factor])
        for row in matrix
    ]


def _pixels(tile: _Grid) -> jax.Array:
    """Returns the image of which `tile[a][b]` has the pixels 2 i + a, 2 j + b."""
    rows = [jnp.stack(row, 3) for row in tile]
    images, height, width, _, features = rows[0].shape
    image = jnp.stack([row.reshape(images, height, 2 * width, features) for row in rows], 2)
    return image.reshape(images, 2 * height, 2 * width, features)
