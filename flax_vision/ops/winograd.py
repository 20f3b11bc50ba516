"""3x3 convolutions by Winograd's minimal filtering: 16 products for 4 pixels, in place of 36.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.1: F(2x2, 3x3).
Tiles of 4x4 pixels, two pixels apart, and the kernels are transformed; between them are 16 matrix
products; the transform of those is a tile of 2x2 pixels of the result. It rounds about as much as
the sum over the window: by some 1e-6 of the largest number. An infinite pixel makes its tiles NaN.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops.products import every, piece, pieces, under

_Matrix = Sequence[Sequence[float]]
_Grid = Sequence[Sequence[jax.Array]]

# Their B^T, G and A^T.
_IMAGE = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_RESULT = ((1, 1, 1, 0), (0, 1, -1, -1))


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
    kernels = lax.optimization_barrier(_transform(_KERNEL, list(kernel)))
    images, rows = piece(tiles, 16 * tiles[2] * max(kernel.shape[2:]) * x.dtype.itemsize)

    def one(i: jax.Array) -> jax.Array:
        seen = under(x, i, images, rows, tiles[1], window=4, stride=2)
        pixels = [[every(every(seen, 1, a, 4, 2), 2, b, 4, 2) for b in range(4)] for a in range(4)]
        image = lax.optimization_barrier(_transform(_IMAGE, pixels))
        products = [
            [lax.dot_general(a, b, (((3,), (axis,)), ((), ()))) for a, b in zip(*rows, strict=True)]
            for rows in zip(image, kernels, strict=True)
        ]
        return _pixels(_transform(_RESULT, lax.optimization_barrier(products)))

    y = lax.map(one, jnp.arange(pieces(tiles, images, rows)))
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
