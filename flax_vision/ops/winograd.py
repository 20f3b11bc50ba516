"""3x3 convolutions by Winograd's minimal filtering: fewer products, more sums.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.1: F(2x2, 3x3)
takes 16 products for 4 pixels, in place of 36. Tiles of 4x4 pixels, two pixels apart, and the
kernels are transformed; between them are the 16 matrix products; the transform of those is a tile
of 2x2 pixels of the result. It rounds about as much as the sum over the window: by some 1e-6 of the
largest number. An infinite pixel makes its tiles NaN.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops.products import every, piece, pieces, under
from flax_vision.ops.xla_convolution import Shape

# Of transformed images that are multiplied at a time. The pieces are laid out side by side where
# they are no more than that, of this size or of twice it: XLA compiles each, and gives each its own
# memory. A loop over single ones takes up to one and a half times as long.
_PIECE_BYTES = 14 << 20
_MOST_SIDE_BY_SIDE = 8

_TILE = 4

_Matrix = Sequence[Sequence[float]]
_Grid = Sequence[Sequence[jax.Array]]

# Their B^T, G and A^T.
_OF_IMAGE = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_OF_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_OF_RESULT = ((1, 1, 1, 0), (0, 1, -1, -1))


def convolution(x: jax.Array, kernel: jax.Array, axis: int = 0) -> jax.Array:
    """Returns the cross-correlation of padded images with kernels, stride 1.

    Args:
      x: [N, H, W, C]; H and W are even.
      kernel: [3, 3, C, K]; or [3, 3, K, C] with axis 1.
      axis: of the kernel's matrices, the one that belongs to the channels of x.

    Returns:
      [N, H - 2, W - 2, K].
    """
    tiles = (x.shape[0], x.shape[1] // 2 - 1, x.shape[2] // 2 - 1)
    features = kernel.shape[3 - axis]
    kernels = lax.optimization_barrier(_transform(_OF_KERNEL, list(kernel)))
    row_bytes = _TILE**2 * tiles[2] * max(kernel.shape[2:]) * x.dtype.itemsize
    images, rows = _size_of_pieces(tiles, row_bytes)

    def one(i: int | jax.Array) -> jax.Array:
        seen = under(x, i, images, rows, tiles[1], window=_TILE, stride=2)
        lines = [every(seen, 1, a, _TILE, 2) for a in range(_TILE)]
        pixels = [[every(line, 2, b, _TILE, 2) for b in range(_TILE)] for line in lines]
        image = lax.optimization_barrier(_transform(_OF_IMAGE, pixels))
        products = [
            [lax.dot_general(a, b, (((3,), (axis,)), ((), ()))) for a, b in zip(*rows, strict=True)]
            for rows in zip(image, kernels, strict=True)
        ]
        return _pixels(_transform(_OF_RESULT, lax.optimization_barrier(products)))

    count = pieces(tiles, images, rows)
    is_few = count <= _MOST_SIDE_BY_SIDE
    y = jnp.stack([one(i) for i in range(count)]) if is_few else lax.map(one, jnp.arange(count))
    return y.reshape(tiles[0], 2 * tiles[1], 2 * tiles[2], features)


def _size_of_pieces(tiles: Shape, row_bytes: int) -> tuple[int, int]:
    """Returns how many images, and how many rows of tiles of each, are multiplied at a time."""
    sizes = [piece(tiles, row_bytes, most) for most in (_PIECE_BYTES, 2 * _PIECE_BYTES)]
    few = [size for size in sizes if pieces(tiles, *size) <= _MOST_SIDE_BY_SIDE]
    return few[0] if few else sizes[0]


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
