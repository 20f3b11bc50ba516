"""3x3 convolutions by Winograd's minimal filtering: fewer products, more sums.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.1: F(2x2, 3x3)
takes 16 products for 4 pixels, instead of 36. It transforms tiles of 4x4 pixels, two pixels apart,
and the kernels. The transform of their 16 matrix products is a tile of 2x2 pixels of the result.
The kernel's gradient is the transpose of all steps. It rounds about as much as the sum over the
window: by some 1e-6 of the largest value. An infinite pixel makes its tiles NaN.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from flax_vision.ops.cpu.im2col import multiply_columns
from flax_vision.ops.cpu.windows import window_slices
from flax_vision.ops.cpu.xla_convolution import Shape
from flax_vision.ops.padding import Pairs

# Transformed images are multiplied in chunks of this size, or larger ones to have at most four. XLA
# compiles each chunk, because a loop over them takes up to twice as long. A chunk begins when the
# one before is done, to reuse its memory, if XLA heeds barriers.
_CHUNK_BYTES = 56 << 20
_MAX_CHUNKS = 4

_TILE = 4

_Matrix = Sequence[Sequence[float]]
_Grid = Sequence[Sequence[Array]]

# The paper's B^T, G and A^T.
_IMAGE_TRANSFORM = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_KERNEL_TRANSFORM = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_RESULT_TRANSFORM = ((1, 1, 1, 0), (0, 1, -1, -1))


def conv_winograd(
    x: Array, kernel: Array, shape: Shape, padding: Pairs, transposed: bool = False
) -> Array:
    """Computes the convolution of images with 3x3 kernels and stride 1.

    Args:
      x: Images [N, H, W, C].
      kernel: Kernels [3, 3, C, K], or [3, 3, K, C] if transposed.
      shape: Shape of the result, [N, H', W', K].
      padding: Zeros around the images, at most two.
      transposed: Rotates the kernel by 180 degrees, as in the gradient for the images.
    """
    # Otherwise the transformed kernels, which are larger, would exist from the start of a step.
    x, kernel = lax.optimization_barrier((x, kernel))
    rows = list(jnp.flip(kernel, (0, 1)) if transposed else kernel)
    kernels = lax.optimization_barrier(_transform(_KERNEL_TRANSFORM, rows))
    axis = int(transposed)
    multiply = partial(lax.dot_general, dimension_numbers=(((3,), (axis,)), ((), ())))

    def compute(chunk: _Chunk, x: Array) -> Array:
        products = _map_grids(multiply, _image_tiles(x, chunk, padding), kernels)
        pixels = _join(_transform(_RESULT_TRANSFORM, lax.optimization_barrier(products)))
        return pixels[:, : len(chunk.rows), : shape[2]]

    first, *others = _chunks(shape, max(kernel.shape[2:]) * x.dtype.itemsize)
    y = _pad_to_shape(compute(first, x), shape)
    for chunk in others:
        x, y = lax.optimization_barrier((x, y))  # waits for the chunk before
        index = (chunk.images.start, chunk.rows.start, 0, 0)
        y = lax.dynamic_update_slice(y, compute(chunk, x), index)
    return y


def kernel_gradient_winograd(x: Array, dy: Array, padding: Pairs) -> Array:
    """Computes the gradient [3, 3, C, K] for the kernel.

    Args:
      x: Images [N, H, W, C].
      dy: Gradient of the result, [N, H', W', K].
      padding: Zeros around the images, at most two.
    """

    def compute(chunk: _Chunk, x: Array, dy: Array) -> Array:
        tiles = _image_tiles(x, chunk, padding)
        products = _map_grids(multiply_columns, tiles, _gradient_tiles(dy, chunk))
        rows = _transform(_transpose(_KERNEL_TRANSFORM), lax.optimization_barrier(products))
        return jnp.stack([jnp.stack(row) for row in rows])

    # Otherwise the transformed images would exist from the forward convolution on.
    x, dy = lax.optimization_barrier((x, dy))
    first, *others = _chunks(dy.shape, max(x.shape[3], dy.shape[3]) * x.dtype.itemsize)
    total = compute(first, x, dy)
    for chunk in others:
        x, dy, total = lax.optimization_barrier((x, dy, total))
        total = total + compute(chunk, x, dy)
    return total


class _Chunk(NamedTuple):
    """A part of the result: some images, and some rows of them."""

    images: range
    rows: range


def _chunks(shape: Shape, pixel_bytes: int) -> list[_Chunk]:
    """Divides a result; each chunk but the last of an image has an even number of rows.

    Args:
      shape: Shape of the result, [N, H', W', K].
      pixel_bytes: Size of a pixel of the widest transformed images.
    """
    images, rows, columns, _ = shape
    tiles = images * -(-rows // 2) * -(-columns // 2)
    count = min(-(-(_TILE**2) * tiles * pixel_bytes // _CHUNK_BYTES), _MAX_CHUNKS)
    image_ranges = _split(images, -(-images // count))
    row_ranges = _split(rows, 2 * -(-rows // 2 // max(count // images, 1)))
    return [_Chunk(*ranges) for ranges in itertools.product(image_ranges, row_ranges)]


def _split(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _pad_to_shape(pixels: Array, shape: Shape) -> Array:
    """Appends zeros for the pixels of the later chunks to the first chunk.

    XLA would share a plain array of zeros between all layers of a shape, from the start of a step.
    """
    missing = [(0, whole - part, 0) for whole, part in zip(shape, pixels.shape, strict=True)]
    return lax.pad(pixels, jnp.zeros((), pixels.dtype), missing)


def _image_tiles(x: Array, chunk: _Chunk, padding: Pairs) -> _Grid:
    """Returns the transformed tiles of the images under a chunk: 4 x 4 arrays [N, T, U, C].

    There are T tiles above each other and U side by side, for an even number of pixels.
    """
    (images, rows), ((top, _), (left, right)) = chunk, padding
    begin, end = rows.start - top, rows.start - top + 2 * -(-len(rows) // 2) + 2
    part = x[images.start : images.stop, max(begin, 0) : end]
    vertical = (max(-begin, 0), max(end - x.shape[1], 0))
    odd = (x.shape[2] + left + right) % 2
    padded = jnp.pad(part, ((0, 0), vertical, (left, right + odd), (0, 0)))
    lines = window_slices(padded, 1, _TILE, 2)
    tiles = [window_slices(line, 2, _TILE, 2) for line in lines]
    return lax.optimization_barrier(_transform(_IMAGE_TRANSFORM, tiles))


def _gradient_tiles(dy: Array, chunk: _Chunk) -> _Grid:
    """Returns the transformed tiles of a chunk of the result's gradient: arrays [N, T, U, K]."""
    images, rows = chunk
    dy = dy[images.start : images.stop, rows.start : rows.stop]
    even = jnp.pad(dy, ((0, 0), (0, dy.shape[1] % 2), (0, dy.shape[2] % 2), (0, 0)))
    tiles = [[even[:, a::2, b::2] for b in range(2)] for a in range(2)]
    return lax.optimization_barrier(_transform(_transpose(_RESULT_TRANSFORM), tiles))


def _map_grids(function: Callable[..., Array], left: _Grid, right: _Grid) -> list[list[Array]]:
    """Applies a function to each pair of arrays of two grids."""
    return [list(map(function, *rows)) for rows in zip(left, right, strict=True)]


def _transpose(matrix: _Matrix) -> _Matrix:
    return list(zip(*matrix, strict=True))


def _transform(matrix: _Matrix, grid: _Grid) -> list[list[Array]]:
    """Computes matrix @ grid @ matrix^T, where the elements of the grid are arrays."""
    columns = [_combine(matrix, column) for column in zip(*grid, strict=True)]
    return [_combine(matrix, row) for row in zip(*columns, strict=True)]


def _combine(matrix: _Matrix, arrays: Sequence[Array]) -> list[Array]:
    """Computes a sum of the arrays for each row of the matrix, without terms of factor 0."""
    return [
        reduce(add, [factor * x for factor, x in zip(row, arrays, strict=True) if factor])
        for row in matrix
    ]


def _join(tile: _Grid) -> Array:
    """Returns the image with the pixels `tile[a][b]` at 2 i + a, 2 j + b."""
    rows = [jnp.stack(row, 3) for row in tile]
    images, height, width, _, features = rows[0].shape
    image = jnp.stack([row.reshape(images, height, 2 * width, features) for row in rows], 2)
    return image.reshape(images, 2 * height, 2 * width, features)
