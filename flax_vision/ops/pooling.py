"""Pooling over windows, with cheap gradients.

XLA's gradient of a maximum over windows is very slow on a CPU. A maximum along the rows, and then
down the columns, has the same value and the same gradient: where several pixels of a window are the
largest, both give it all to the first of them, row by row. So do the handlers of the compiled
library, in one pass each.
"""

import math
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad

from flax_vision.ops.backend import use_cpu_kernels
from flax_vision.ops.cpu import onednn_library
from flax_vision.ops.cpu.max_windows import largest, windows
from flax_vision.ops.cpu.primitives import bind, make_primitive
from flax_vision.ops.padding import Padding, Pairs, output_size, padding_pairs
from flax_vision.ops.precision import at_least_single
from flax_vision.ops.xla_convolution import Geometry

# Of fewer the compiled library has no advantage.
_MANY_CHANNELS = 16


def max_pool(x: jax.Array, size: int, stride: int, padding: Padding = "VALID") -> jax.Array:
    """Returns the largest value in each window of size x size pixels.

    Args:
      x: [N, H, W, C]; what is padded never wins.
      size: height and width of the window.
      stride: between two windows, in pixels.
      padding: see `padding_pairs`.

    Returns:
      [N, H', W', C].
    """
    pads = padding_pairs(padding, x.shape, (size, size), stride)
    if use_cpu_kernels():
        height, width = (
            output_size(length, size, stride, pair)
            for length, pair in zip(x.shape[1:3], pads, strict=True)
        )
        shape = (x.shape[0], height, width, x.shape[3])
        return _fast_max_pool(x, size, Geometry(shape, stride, pads))
    return _windows(lax.max, x, -np.inf, size, stride, pads)


def _fast_max_pool(x: jax.Array, size: int, geometry: Geometry) -> jax.Array:
    if x.dtype == np.float32 and x.shape[3] >= _MANY_CHANNELS:
        return bind(max_pool_p, x, geometry=geometry, size=size)
    return _by_rows_and_columns(x, size=size, geometry=geometry)


def _by_rows_and_columns(x: jax.Array, *, size: int, geometry: Geometry) -> jax.Array:
    pads = [(0, 0, 0), *((before, after, 0) for before, after in geometry.padding), (0, 0, 0)]
    padded = lax.pad(x, np.asarray(-np.inf, x.dtype), pads)
    return largest(largest(padded, 2, size, geometry.stride), 1, size, geometry.stride)


def _at_largest(t: jax.Array, x: jax.Array, *, size: int, geometry: Geometry) -> jax.Array:
    """Returns of t what is where each window of x has its largest number: linear in t."""
    pool = partial(_by_rows_and_columns, size=size, geometry=geometry)
    return jax.jvp(pool, (x,), (t,))[1]


def _to_largest(y: jax.Array, x: jax.Array, *, size: int, geometry: Geometry) -> jax.Array:
    """Returns what puts each y there and adds: the transpose of `_at_largest`."""
    return jax.vjp(partial(_by_rows_and_columns, size=size, geometry=geometry), x)[1](y)[0]


_NAME, _GRADIENT = "flax_vision_max_pool", "flax_vision_max_pool_gradient"
max_pool_p = make_primitive(
    _NAME, _NAME, _by_rows_and_columns, _by_rows_and_columns, (True,), names=("size",)
)
_at_largest_p = make_primitive(
    "flax_vision_at_largest", None, _at_largest, _at_largest, (True, True), names=("size",)
)
_to_largest_p = make_primitive(
    _GRADIENT, _GRADIENT, _to_largest, _to_largest, (True, True), names=("size",)
)


def _derivative_of_max_pool(
    primals: Any, tangents: Any, *, size: int, geometry: Geometry
) -> tuple[jax.Array, jax.Array]:
    (x,), (t,) = primals, tangents
    if onednn_library.unavailable_reason() is not None:
        # This form keeps the places that it finds; the primitive's gradient finds them again.
        return jax.jvp(partial(_by_rows_and_columns, size=size, geometry=geometry), (x,), (t,))
    settings: dict[str, Any] = {"size": size, "geometry": geometry}
    return bind(max_pool_p, x, **settings), bind(_at_largest_p, t, x, **settings)


ad.primitive_jvps[max_pool_p] = _derivative_of_max_pool


def _define_linear(primitive: Primitive, transpose: Primitive) -> None:
    """Makes it linear in its first operand.

    The derivative by the second is 0 wherever no two numbers of a window are equal.
    """

    def transposed(cotangent: Any, first: Any, x: Any, geometry: Geometry, size: int) -> list[Any]:
        geometry = geometry._replace(shape=first.aval.shape)
        return [bind(transpose, cotangent, x, geometry=geometry, size=size), None]

    ad.deflinear2(primitive, transposed)
    ad.defjvp(primitive, lambda t, _, x, **settings: bind(primitive, t, x, **settings), None)


_define_linear(_at_largest_p, _to_largest_p)
_define_linear(_to_largest_p, _at_largest_p)


def sum_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
    """Returns the sum of each window of size x size pixels, without padding.

    Args:
      x: [N, H, W, C].
      size: height and width of the window.
      stride: between two windows, in pixels.

    Returns:
      [N, H', W', C].
    """
    if use_cpu_kernels():
        if size == stride:
            return _sum_of_tiles(x, size)
        x = lax.optimization_barrier(x)  # else what makes x may be computed slice by slice
        rows = reduce(lax.add, windows(x, 2, size, stride))
        return reduce(lax.add, windows(rows, 1, size, stride))
    return _windows(lax.add, x, 0.0, size, stride, ((0, 0), (0, 0)))


def _sum_of_tiles(x: jax.Array, size: int) -> jax.Array:
    """Returns the sums of windows that lie edge to edge.

    XLA would compute what makes x slice by slice, and not vectorize LeNet-5's tanh; into a sum over
    axes it does not go.
    """
    rows, columns = x.shape[1] // size, x.shape[2] // size
    tiles = (x.shape[0], rows, size, columns, size, x.shape[3])
    return x[:, : rows * size, : columns * size].reshape(tiles).sum((2, 4), dtype=x.dtype)


def average_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
    """Returns the mean of each window of size x size pixels, without padding: see `sum_pool`."""
    return (sum_pool(at_least_single(x), size, stride) / size**2).astype(x.dtype)


def adaptive_average_pool(x: jax.Array, size: int) -> jax.Array:
    """Returns the means of size x size windows that cover the image, as PyTorch spreads them.

    Args:
      x: [N, H, W, C], of any height and width.
      size: height and width of the result.

    Returns:
      [N, size, size, C].
    """
    wide = at_least_single(x)
    rows, columns = (jnp.asarray(_spread(length, size), wide.dtype) for length in x.shape[1:3])
    return jnp.einsum("ih,jw,nhwc->nijc", rows, columns, wide).astype(x.dtype)


def _windows(
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    x: jax.Array,
    identity: float,
    size: int,
    stride: int,
    pads: Pairs,
) -> jax.Array:
    start = np.asarray(identity, x.dtype)
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, start, combine, window, strides, [(0, 0), *pads, (0, 0)])


def _spread(length: int, size: int) -> np.ndarray:
    """Returns the weights [size, length] of `size` windows over `length` pixels."""
    weights = np.zeros((size, length))
    for i in range(size):
        start, end = i * length // size, math.ceil((i + 1) * length / size)
        weights[i, start:end] = 1 / (end - start)
    return weights
