"""Primitives of JAX that the compiled library computes on a CPU, where it is there.

What XLA cannot look into it cannot divide among devices either, so on a CPU each is divided by
hand: see `batch_partitioning`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from flax_vision.ops.cpu import batch_partitioning, onednn_library
from flax_vision.ops.xla_convolution import Geometry

_Function = Callable[..., jax.Array]


def make_primitive(
    name: str,
    target: str | None,
    plain: _Function,
    fast: _Function,
    have_images: tuple[bool, ...],
    beats_onednn: Callable[..., bool] | None = None,
    names: tuple[str, ...] = (),
    is_sum: bool = False,
    **attributes: Any,
) -> Primitive:
    """Makes a primitive whose result has the shape of its parameter `geometry`.

    Args:
      name: of the primitive.
      target: the handler of the compiled library that computes it; None where there is none.
      plain: the same by XLA.
      fast: the same in the form that is fast on a CPU without that.
      have_images: of each operand, whether its first axis is that of the images.
      beats_onednn: whether that is faster than oneDNN, from the shape of the second operand and
        the geometry; None for never.
      names: of its other parameters.
      is_sum: whether the result is a sum over the images, or has their axis too.
      **attributes: of the handler, where they are not parameters of the primitive.
    """
    primitive = Primitive(name)

    def abstract(first: Any, *others: Any, geometry: Geometry, **parameters: Any) -> Any:
        return first.update(shape=geometry.shape, weak_type=False)

    def lower(ctx: Any, *operands: Any, geometry: Geometry, **parameters: Any) -> Any:
        images = ctx.avals_in[0].shape[0]
        own = partial(bind, primitive)
        divided = batch_partitioning.divided(own, have_images, geometry, images, is_sum)
        if divided is None and batch_partitioning.has_mesh(ctx):
            divided = batch_partitioning.partitioned(own, have_images, geometry, is_sum)
        if divided is not None:
            rule = mlir.lower_fun(divided, multiple_results=False)
            return rule(ctx, *operands, **parameters)
        is_slower = beats_onednn is not None and beats_onednn(ctx.avals_in[1].shape, geometry)
        if target is None or is_slower or onednn_library.unavailable_reason() is not None:
            rule = mlir.lower_fun(fast, multiple_results=False)
            return rule(ctx, *operands, geometry=geometry, **parameters)
        pads = np.asarray(geometry.padding, np.int64).ravel()
        settings = {"stride": geometry.stride, **attributes, **parameters}
        wide = {key: np.int64(x) if type(x) is int else x for key, x in settings.items()}
        return jax.ffi.ffi_lowering(target)(ctx, *operands, padding=pads, **wide)

    def batch(operands: Any, axes: Any, **parameters: Any) -> tuple[jax.Array, int]:
        return jax.vmap(partial(plain, **parameters), in_axes=axes)(*operands), 0

    batch_partitioning.ask_for_mesh(primitive)
    primitive.def_abstract_eval(abstract)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("geometry", *names)))
    mlir.register_lowering(primitive, mlir.lower_fun(plain, multiple_results=False))
    mlir.register_lowering(primitive, lower, platform="cpu")
    batching.primitive_batchers[primitive] = batch
    return primitive


def bind(primitive: Primitive, *operands: jax.Array, **parameters: Any) -> jax.Array:
    """Binds the primitive; in a shard_map, to operands that vary over the same axes of the mesh."""
    if jax.sharding.get_abstract_mesh().manual_axes:
        varying = [jax.typeof(operand).mat.varying for operand in operands]
        union = frozenset().union(*varying)
        operands = tuple(
            lax.pcast(operand, tuple(union - axes), to="varying") if union - axes else operand
            for operand, axes in zip(operands, varying, strict=True)
        )
    return primitive.bind(*operands, **parameters)
