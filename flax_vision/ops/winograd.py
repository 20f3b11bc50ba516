"""3x3 and 5x5 convolutions by Winograd's minimal filtering: fewer products, more sums.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.1: F(2x2, 3x3)
takes 16 products for 4 pixels, in place of 36. F(2x2, 5x5), by the same construction with their
points 0, 1, -1, 2, -2 and infinity, takes 36 in place of 100. Tiles of 4x4 (or 6x6) pixels, two
pixels apart, and the kernels are transformed; between them are the 16 (or 36) matrix products; the
transform of those is a tile of 2x2 pixels of the result. It rounds about as much as the sum over
the window: by some 1e-6 of the largest number, 5e-6 for 5x5. An infinite pixel makes its tiles NaN.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops.products import every, piece, pieces, under

# Of transformed images that are multiplied at a time. Some pieces are laid out side by side, for a
# loop over single ones takes up to twice as long. XLA compiles each, and gives each its own memory.
_PIECE_BYTES = 14 << 20
_MOST_TOGETHER = 8

_Matrix = Sequence[Sequence[float]]
_Grid = Sequence[Sequence[jax.Array]]


class _Transforms(NamedTuple):
    """Their B^T, G and A^T."""

    image: _Matrix
    kernel: _Matrix
    result: _Matrix


# By the size of the kernel.
_TRANSFORMS = {
    3: _Transforms(
        image=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        kernel=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        result=((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
    5: _Transforms(
        image=(
            (4, 0, -5, 0, 1, 0),
            (0, -4, -4, 1, 1, 0),
            (0, 4, -4, -1, 1, 0),
            (0, -2, -1, 2, 1, 0),
            (0, 2, -1, -2, 1, 0),
            (0, 4, 0, -5, 0, 1),
        ),
        kernel=(
            (1 / 4, 0, 0, 0, 0),
            (-1 / 6, -1 / 6, -1 / 6, -1 / 6, -1 / 6),
            (-1 / 6, 1 / 6, -1 / 6, 1 / 6, -1 / 6),
            (1 / 24, 1 / 12, 1 / 6, 1 / 3, 2 / 3),
            (1 / 24, -1 / 12, 1 / 6, -1 / 3, 2 / 3),
            (0, 0, 0, 0, 1),
        ),
        result=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 1)),
    ),
}


def convolution(x: jax.Array, kernel: jax.Array, axis: int = 0) -> jax.Array:
    """Returns the cross-correlation of padded images with kernels, stride 1.

    Args:
      x: [N, H, W, C]; H and W are even.
      kernel: [3, 3, C, K] or [5, 5, C, K]; or [..., K, C] with axis 1.
      axis: of the kernel's matrices, the one that belongs to the channels of x.

    Returns:
      [N, H - 2, W - 2, K], or [N, H - 4, W - 4, K].
    """
    size = kernel.shape[0]
    tile, overlap = size + 1, size - 1
    transforms = _TRANSFORMS[size]
    tiles = (x.shape[0], (x.shape[1] - overlap) // 2, (x.shape[2] - overlap) // 2)
    features = kernel.shape[3 - axis]
    kernels = lax.optimization_barrier(_transform(transforms.kernel, list(kernel)))
    row_bytes = tile**2 * tiles[2] * max(kernel.shape[2:]) * x.dtype.itemsize
    images, rows = piece(tiles, row_bytes, _PIECE_BYTES)

    def one(i: jax.Array) -> jax.Array:
        seen = under(x, i, images, rows, tiles[1], window=tile, stride=2)
        lines = [every(seen, 1, a, tile, 2) for a in range(tile)]
        pixels = [[every(line, 2, b, tile, 2) for b in range(tile)] for line in lines]
        image = lax.optimization_barrier(_transform(transforms.image, pixels))
        products = [
            [lax.dot_general(a, b, (((3,), (axis,)), ((), ()))) for a, b in zip(*rows, strict=True)]
            for rows in zip(image, kernels, strict=True)
        ]
        return _pixels(_transform(transforms.result, lax.optimization_barrier(products)))

    count = pieces(tiles, images, rows)
    together = max(n for n in range(1, _MOST_TOGETHER + 1) if count % n == 0)

    def some(i: jax.Array) -> jax.Array:
        return jnp.stack([one(i * together + j) for j in range(together)])

    y = lax.map(some, jnp.arange(count // together))
    return y.reshape(tiles[0], 2 * tiles[1], 2 * tiles[2], features)


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
