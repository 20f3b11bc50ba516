"""Windows along one axis, and the largest value in each.

The gradient of a maximum goes to one place of each window. Derived from strided slices it would be
one padded array for each place of the window, and their sum; written down for each place of the
input, as here, it is one pass.
"""

from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from flax_vision.ops.padding import output_size


def windows(x: jax.Array, axis: int, size: int, stride: int) -> list[jax.Array]:
    """Returns the first value of each window along an axis, the second of each, and so on."""
    last = (output_size(x.shape[axis], size, stride, (0, 0)) - 1) * stride
    return [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def largest(x: jax.Array, axis: int, size: int, stride: int) -> jax.Array:
    """Returns the largest value of each window along an axis; NaN where there is one.

    The derivative is that of the first of them where several are the largest.

    Args:
      x: of any shape.
      axis: along which the windows lie.
      size: of the windows.
      stride: between two of them.
    """
    return reduce(lax.max, windows(x, axis, size, stride))


@largest.defjvp
def _largest_jvp(
    axis: int, size: int, stride: int, primals: Any, tangents: Any
) -> tuple[jax.Array, jax.Array]:
    (x,), (tangent,) = primals, tangents
    y, *others = windows(x, axis, size, stride)
    place = jnp.zeros_like(y, jnp.int8 if size + stride < 128 else jnp.int32)
    for i, other in enumerate(others, 1):
        is_larger = (other > y) | (other != other)
        place = lax.select(is_larger, jnp.full_like(place, i), place)
        y = lax.select(is_larger, other, y)
    return y, _chosen_p.bind(tangent, place, axis=axis, size=size, stride=stride)


def _chosen(x: jax.Array, place: jax.Array, *, axis: int, size: int, stride: int) -> jax.Array:
    """Returns the value at a place of each window: linear in x."""
    first, *others = windows(x, axis, size, stride)
    for i, other in enumerate(others, 1):
        first = lax.select(place == i, other, first)
    return first


def _spread(
    y: jax.Array, place: jax.Array, *, length: int, axis: int, size: int, stride: int
) -> jax.Array:
    """Returns what puts each y at the place of its window and adds: the transpose of `_chosen`."""
    shape = (*y.shape[:axis], length, *y.shape[axis + 1 :])
    before = (size - 1) // stride
    after = max(-(-length // stride) - y.shape[axis], 0)

    def stretched(x: jax.Array, fill: float) -> jax.Array:
        """Returns at each place of the input the window that begins there or last before."""
        pads = [(before, after, 0) if i == axis else (0, 0, 0) for i in range(x.ndim)]
        return jnp.repeat(lax.pad(x, np.asarray(fill, x.dtype), pads), stride, axis)

    y, place = stretched(y, 0), stretched(place, -1)
    remainder = (lax.broadcasted_iota(jnp.int32, shape, axis) % stride).astype(place.dtype)
    total = jnp.zeros(shape, y.dtype)
    for i in range(before + 1):
        start = (before - i) * stride
        of_window = partial(lax.slice_in_dim, start_index=start, limit_index=start + length)
        is_here = of_window(place, axis=axis) == remainder + np.asarray(i * stride, place.dtype)
        total += lax.select(is_here, of_window(y, axis=axis), jnp.zeros(shape, y.dtype))
    return total


def _chosen_transpose(y: jax.Array, x: Any, place: jax.Array, **settings: Any) -> list[Any]:
    length = x.aval.shape[settings["axis"]]
    return [_spread(y, place, length=length, **settings), None]


def _chosen_batch(operands: Any, axes: Any, **settings: Any) -> tuple[jax.Array, int]:
    return jax.vmap(partial(_chosen, **settings), in_axes=axes)(*operands), 0


_chosen_p = Primitive("flax_vision_chosen")
_chosen_p.def_impl(jax.jit(_chosen, static_argnames=("axis", "size", "stride")))
_chosen_p.def_abstract_eval(
    lambda x, place, **settings: x.update(shape=place.shape, weak_type=False)
)
mlir.register_lowering(_chosen_p, mlir.lower_fun(_chosen, multiple_results=False))
batching.primitive_batchers[_chosen_p] = _chosen_batch
ad.deflinear2(_chosen_p, _chosen_transpose)
# Linear in the first operand only.
ad.defjvp(_chosen_p, lambda t, x, place, **settings: _chosen_p.bind(t, place, **settings), None)
