"""Windows along one axis, and the maximum of each.

The gradient of a maximum goes to one index of each window. JAX's derivative of strided slices is
one padded array per index of the window, and their sum. Computed for each element of the input, as
here, it is one pass.
"""

from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from flax_vision.ops.cpu.primitives import define_linear, xla_primitive
from flax_vision.ops.padding import output_size


def window_slices(x: Array, axis: int, size: int, stride: int) -> list[Array]:
    """Returns the first value of each window along an axis, then the second of each, and so on."""
    last = (output_size(x.shape[axis], size, stride) - 1) * stride
    return [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def window_max(x: Array, axis: int, size: int, stride: int) -> Array:
    """Computes the maximum of each window along an axis; NaN where the window has one.

    Where several values are the maximum, the derivative belongs to the first of them.

    Args:
      x: Array of any shape.
      axis: Axis of the windows.
      size: Size of a window.
      stride: Distance between two windows.
    """
    return reduce(lax.max, window_slices(x, axis, size, stride))


@window_max.defjvp
def _window_max_jvp(
    axis: int, size: int, stride: int, primals: Any, tangents: Any
) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    y, *others = window_slices(x, axis, size, stride)
    index = jnp.zeros_like(y, jnp.int8 if size + stride < 128 else jnp.int32)
    for i, other in enumerate(others, 1):
        is_larger = (other > y) | (other != other)
        index = lax.select(is_larger, jnp.full_like(index, i), index)
        y = lax.select(is_larger, other, y)
    return y, _gather_p.bind(tangent, index, axis=axis, size=size, stride=stride)


def _gather(x: Array, index: Array, *, axis: int, size: int, stride: int) -> Array:
    """Gathers the value at an index of each window: linear in `x`."""
    y, *others = window_slices(x, axis, size, stride)
    for i, other in enumerate(others, 1):
        y = lax.select(index == i, other, y)
    return y


def _scatter_add(y: Array, index: Array, length: int, axis: int, size: int, stride: int) -> Array:
    """Adds each `y` to the index of its window: the transpose of `_gather`."""
    shape = (*y.shape[:axis], length, *y.shape[axis + 1 :])
    before = (size - 1) // stride
    after = max(-(-length // stride) - y.shape[axis], 0)

    def repeat(x: Array, fill: float) -> Array:
        """Returns, for each input element, the window that begins there or last before."""
        pads = [(before, after, 0) if i == axis else (0, 0, 0) for i in range(x.ndim)]
        return jnp.repeat(lax.pad(x, np.asarray(fill, x.dtype), pads), stride, axis)

    y, index = repeat(y, 0), repeat(index, -1)
    remainder = (lax.broadcasted_iota(jnp.int32, shape, axis) % stride).astype(index.dtype)
    total = jnp.zeros(shape, y.dtype)
    for i in range(before + 1):
        start = (before - i) * stride
        of_window = partial(lax.slice_in_dim, start_index=start, limit_index=start + length)
        is_here = of_window(index, axis=axis) == remainder + np.asarray(i * stride, index.dtype)
        total += lax.select(is_here, of_window(y, axis=axis), jnp.zeros(shape, y.dtype))
    return total


def _gather_transpose(y: Array, x: Any, index: Array, **settings: Any) -> list[Any]:
    length = x.aval.shape[settings["axis"]]
    return [_scatter_add(y, index, length=length, **settings), None]


_gather_p = xla_primitive("flax_vision_window_gather", _gather, ("axis", "size", "stride"))
_gather_p.def_abstract_eval(
    lambda x, index, **settings: x.update(shape=index.shape, weak_type=False)
)
define_linear(_gather_p, _gather_transpose)
