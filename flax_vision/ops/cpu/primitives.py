"""JAX primitives that the compiled library computes on a CPU, where it is available.

XLA cannot look into them, and so cannot partition them over devices: `batch_partitioning` does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from flax_vision.ops.cpu import onednn_library
from flax_vision.ops.cpu.batch_partitioning import partition_batch, request_mesh
from flax_vision.ops.cpu.xla_convolution import Geometry

_Function = Callable[..., Array]


def make_primitive(
    name: str,
    reference: _Function,
    batched: tuple[bool, ...],
    *,
    handler: str | None = None,
    jax_form: _Function | None = None,
    beats_onednn: Callable[..., bool] | None = None,
    static: tuple[str, ...] = (),
    is_sum: bool = False,
    **attributes: Any,
) -> Primitive:
    """Makes a primitive whose result has the shape of its parameter `geometry`.

    Args:
      name: Name of the primitive.
      reference: The same function by XLA, for all other backends.
      batched: True for each operand whose first axis is the image axis.
      handler: Compiled handler of the function; None for the one of that name, if there is one.
      jax_form: Fastest form on a CPU without the handler; None for the reference.
      beats_onednn: Tells from the second operand's shape and the geometry whether `jax_form` is
        faster than the handler; None for never.
      static: Names of its other parameters.
      is_sum: Whether the result is a sum over the images, without their axis.
      **attributes: Attributes of the handler that are no parameters of the primitive.
    """
    primitive = Primitive(name)
    target = handler or (name if name in onednn_library.TARGETS else None)

    def abstract(first: Any, *others: Any, geometry: Geometry, **parameters: Any) -> Any:
        return first.update(shape=geometry.shape, weak_type=False)

    def lower(ctx: Any, *operands: Any, geometry: Geometry, **parameters: Any) -> Any:
        own = partial(bind, primitive)
        partitioned = partition_batch(ctx, own, batched, geometry, is_sum)
        if partitioned is not None:
            rule = mlir.lower_fun(partitioned, multiple_results=False)
            return rule(ctx, *operands, **parameters)
        is_slower = beats_onednn is not None and beats_onednn(ctx.avals_in[1].shape, geometry)
        if target is None or is_slower or onednn_library.unavailable_reason() is not None:
            rule = mlir.lower_fun(jax_form or reference, multiple_results=False)
            return rule(ctx, *operands, geometry=geometry, **parameters)
        pads = np.asarray(geometry.padding, np.int64).ravel()
        settings = {"stride": geometry.stride, **attributes, **parameters}
        wide = {key: np.int64(x) if type(x) is int else x for key, x in settings.items()}
        return jax.ffi.ffi_lowering(target)(ctx, *operands, padding=pads, **wide)

    def batch(operands: Any, axes: Any, **parameters: Any) -> tuple[Array, int]:
        return jax.vmap(partial(reference, **parameters), in_axes=axes)(*operands), 0

    request_mesh(primitive)
    primitive.def_abstract_eval(abstract)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("geometry", *static)))
    mlir.register_lowering(primitive, mlir.lower_fun(reference, multiple_results=False))
    mlir.register_lowering(primitive, lower, platform="cpu")
    batching.primitive_batchers[primitive] = batch
    return primitive


def bind(primitive: Primitive, *operands: Array, **parameters: Any) -> Array:
    """Binds a primitive; in a `shard_map`, makes its operands vary over the same mesh axes."""
    if jax.sharding.get_abstract_mesh().manual_axes:
        varying = [jax.typeof(operand).mat.varying for operand in operands]
        union = frozenset().union(*varying)
        operands = tuple(
            lax.pcast(operand, tuple(union - axes), to="varying") if union - axes else operand
            for operand, axes in zip(operands, varying, strict=True)
        )
    return primitive.bind(*operands, **parameters)
