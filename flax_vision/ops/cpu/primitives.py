"""JAX primitives that the compiled library computes on a CPU, where it is available.

XLA cannot look into them, and so cannot partition them over devices: `batch_partitioning` does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax._src import dispatch
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from flax_vision.ops.cpu import onednn_library
from flax_vision.ops.cpu.batch_partitioning import BatchPartitioning
from flax_vision.ops.cpu.xla_convolution import Geometry

_Function = Callable[..., Array]


def xla_primitive(name: str, function: _Function, static: tuple[str, ...]) -> Primitive:
    """Makes a primitive that XLA computes by a function; its shape rule is still missing.

    Args:
      name: Name of the primitive.
      function: Function of the operands and, by keyword, of the parameters.
      static: Names of the parameters.
    """

    def batch(operands: Any, axes: Any, **parameters: Any) -> tuple[Array, int]:
        return jax.vmap(partial(function, **parameters), in_axes=axes)(*operands), 0

    primitive = Primitive(name)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=static))
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    batching.primitive_batchers[primitive] = batch
    return primitive


def make_primitive(
    name: str,
    reference: _Function,
    batched: tuple[bool, ...],
    *,
    handler: str | None = None,
    jax_form: _Function | None = None,
    beats_onednn: Callable[..., bool] | None = None,
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
      is_sum: Whether the result is a sum over the images, without their axis.
      **attributes: Attributes of the handler that are no parameters of the primitive.
    """
    primitive = xla_primitive(name, reference, ("geometry", "relu", "size"))
    target = handler or name

    def lower(ctx: Any, *operands: Any, geometry: Geometry, **parameters: Any) -> Any:
        batch = BatchPartitioning(partial(bind, primitive), batched, geometry, is_sum)
        form = batch.partitioned(ctx)
        is_slower = beats_onednn is not None and beats_onednn(ctx.avals_in[1].shape, geometry)
        has_handler = target in onednn_library.TARGETS and not is_slower
        if form is None and (not has_handler or onednn_library.unavailable_reason() is not None):
            form = partial(jax_form or reference, geometry=geometry)
        if form is not None:
            return mlir.lower_fun(form, multiple_results=False)(ctx, *operands, **parameters)
        pads = np.asarray(geometry.padding, np.int64).ravel()
        settings = {"stride": geometry.stride, **attributes, **parameters}
        wide = {key: np.int64(x) if type(x) is int else x for key, x in settings.items()}
        return jax.ffi.ffi_lowering(target)(ctx, *operands, padding=pads, **wide)

    # Lowering needs the program's mesh, and JAX has no public way to request it.
    dispatch.prim_requires_devices_during_lowering.add(primitive)
    primitive.def_abstract_eval(
        lambda x, *_, geometry, **parameters: x.update(shape=geometry.shape, weak_type=False)
    )
    mlir.register_lowering(primitive, lower, platform="cpu")
    return primitive


def define_linear(primitive: Primitive, transpose: Callable[..., list[Any]]) -> None:
    """Makes a primitive linear in its first operand, with no derivative for the second."""
    ad.deflinear2(primitive, transpose)
    ad.defjvp(primitive, lambda t, _, x, **settings: bind(primitive, t, x, **settings), None)


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
