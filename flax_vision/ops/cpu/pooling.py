"""Pooling with cheap gradients.

XLA's gradient of a maximum over windows is very slow on a CPU. A maximum along the rows, and then
along the columns, has the same value and gradient: both give the gradient to the first maximum of a
window, row by row. The compiled handlers do the same, in one pass each.
"""

from functools import partial, reduce
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad

from flax_vision.ops.cpu import onednn_library
from flax_vision.ops.cpu.primitives import bind, define_linear, make_primitive
from flax_vision.ops.cpu.windows import window_max, window_slices
from flax_vision.ops.cpu.xla_convolution import Geometry, geometry_of
from flax_vision.ops.padding import Padding, padding_pairs

# The compiled handler has no advantage for fewer channels.
MIN_HANDLER_CHANNELS = 16


def max_pool(x: Array, size: int, stride: int, padding: Padding = "VALID") -> Array:
    """Computes `ops.pooling.max_pool` by the compiled handler, or by rows and columns."""
    pads = padding_pairs(padding, x.shape, (size, size), stride)
    geometry = geometry_of(x.shape, (size, size, 0, x.shape[3]), stride, pads)
    if x.dtype == np.float32 and x.shape[3] >= MIN_HANDLER_CHANNELS:
        return bind(max_pool_p, x, geometry=geometry, size=size)
    return _separable_max_pool(x, size=size, geometry=geometry)


def sum_pool(x: Array, size: int, stride: int) -> Array:
    """Computes `ops.pooling.sum_pool` by sums over axes or slices."""
    if size == stride:
        # XLA would compute `x` slice by slice, and not vectorize LeNet-5's tanh; it does not fuse
        # that into a sum over axes.
        rows, columns = x.shape[1] // size, x.shape[2] // size
        tiles = (x.shape[0], rows, size, columns, size, x.shape[3])
        return x[:, : rows * size, : columns * size].reshape(tiles).sum((2, 4), dtype=x.dtype)
    x = lax.optimization_barrier(x)  # else XLA may compute x again for each slice
    sums = reduce(lax.add, window_slices(x, 2, size, stride))
    return reduce(lax.add, window_slices(sums, 1, size, stride))


def _separable_max_pool(x: Array, *, size: int, geometry: Geometry) -> Array:
    pads = [(0, 0, 0), *((before, after, 0) for before, after in geometry.padding), (0, 0, 0)]
    padded = lax.pad(x, np.asarray(-np.inf, x.dtype), pads)
    return window_max(window_max(padded, 2, size, geometry.stride), 1, size, geometry.stride)


def _gather_at_max(t: Array, x: Array, **settings: Any) -> Array:
    """Gathers `t` at the argmax of each window of `x`: linear in `t`."""
    return jax.jvp(partial(_separable_max_pool, **settings), (x,), (t,))[1]


def _scatter_to_max(y: Array, x: Array, **settings: Any) -> Array:
    """Adds each `y` at the argmax of its window of `x`: the transpose of `_gather_at_max`."""
    return jax.vjp(partial(_separable_max_pool, **settings), x)[1](y)[0]


max_pool_p = make_primitive("flax_vision_max_pool", _separable_max_pool, (True,))
_gather_at_max_p = make_primitive("flax_vision_gather_at_max", _gather_at_max, (True, True))
_scatter_to_max_p = make_primitive("flax_vision_max_pool_gradient", _scatter_to_max, (True, True))


def _max_pool_jvp(primals: Any, tangents: Any, **settings: Any) -> tuple[Array, Array]:
    (x,), (t,) = primals, tangents
    if onednn_library.unavailable_reason() is not None:
        # This form saves the argmax that it finds; the gradient primitive finds it again.
        return jax.jvp(partial(_separable_max_pool, **settings), (x,), (t,))
    return bind(max_pool_p, x, **settings), bind(_gather_at_max_p, t, x, **settings)


ad.primitive_jvps[max_pool_p] = _max_pool_jvp


def _transpose_by(
    transpose: Primitive, cotangent: Any, first: Any, x: Any, *, geometry: Geometry, size: int
) -> list[Any]:
    geometry = geometry._replace(shape=first.aval.shape)
    return [bind(transpose, cotangent, x, geometry=geometry, size=size), None]


# The derivatives for the second operand are 0 wherever a window has no two equal values.
define_linear(_gather_at_max_p, partial(_transpose_by, _scatter_to_max_p))
define_linear(_scatter_to_max_p, partial(_transpose_by, _gather_at_max_p))
