"""Primitives of convolution and of pooling, divided among the devices that share a batch.

XLA gathers the operands of a custom call on every device. So each device is given its own images.
Under `jax.set_mesh` the mesh's axis `data` divides them. In any other program for several devices,
XLA's own division of the images is used. A gradient for the kernel is then a sum over the devices,
the only communication.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from jax import lax
from jax._src import dispatch
from jax.experimental.custom_partitioning import (
    ArrayMapping,
    SdyShardingRule,
    custom_partitioning,
)
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flax_vision.ops.xla_convolution import Geometry
from flax_vision.runtime.mesh import DATA

_RESULT_AXES = 4

_Function = Callable[..., jax.Array]


def divided(
    bind: _Function,
    have_images: Sequence[bool],
    geometry: Geometry,
    images: int,
    is_sum: bool,
) -> _Function | None:
    """Returns the primitive on each device's own images; None where nothing is to be divided.

    Args:
      bind: the primitive; takes its operands, and its geometry by keyword.
      have_images: of each operand, whether its first axis is that of the images.
      geometry: of the result of all devices.
      images: how many there are.
      is_sum: whether the result is a sum over them, or has their axis too.
    """
    mesh = jax.sharding.get_abstract_mesh()
    devices = mesh.shape.get(DATA, 1)
    if devices == 1 or DATA in mesh.manual_axes or images % devices:
        return None
    spec = {True: PartitionSpec(DATA), False: PartitionSpec()}

    def on_all(*operands: jax.Array, **parameters: Any) -> jax.Array:
        in_specs = tuple(spec[has] for has in have_images[: len(operands)])
        function = partial(_on_own, bind, geometry, DATA, is_sum, **parameters)
        divided = jax.shard_map(
            function, in_specs=in_specs, out_specs=spec[not is_sum], axis_names={DATA}
        )
        return divided(*operands)

    return on_all


def partitioned(
    bind: _Function, have_images: Sequence[bool], geometry: Geometry, is_sum: bool
) -> _Function:
    """Returns the primitive with a partitioning rule for XLA, on any mesh.

    Images stay divided along their first axis. All other axes are whole on every device.

    Args:
      bind: Primitive; takes its operands, and its geometry by keyword.
      have_images: True for each operand whose first axis is the image axis.
      geometry: Geometry of the result over all devices.
      is_sum: Whether the result is a sum over the images, without their axis.
    """

    def on_all(*operands: jax.Array, **parameters: Any) -> jax.Array:
        has_images = have_images[: len(operands)]

        def partition(mesh: Mesh, arrays: Sequence[Any], result: Any) -> Any:
            given = [x.sharding.spec[0] for x, has in zip(arrays, has_images, strict=True) if has]
            axes = next(filter(None, given), None)
            share, whole = (NamedSharding(mesh, PartitionSpec(axis)) for axis in (axes, None))
            own = partial(_on_own, bind, geometry, axes, is_sum, **parameters)
            in_shardings = tuple(share if has else whole for has in has_images)
            return mesh, own, whole if is_sum else share, in_shardings

        function = custom_partitioning(partial(bind, geometry=geometry, **parameters))
        function.def_partition(partition, sharding_rule=_rule(operands, has_images, is_sum))
        # Without it, programs with other geometries look equal to JAX's compilation cache.
        with set_xla_metadata(flax_vision=repr((geometry, parameters))):
            result: jax.Array = function(*operands)
        return result

    return on_all


def ask_for_mesh(primitive: Primitive) -> None:
    """Makes JAX pass the program's mesh to the lowering rule of a primitive.

    `custom_partitioning` needs the mesh, and JAX has no public way to request it.
    """
    dispatch.prim_requires_devices_during_lowering.add(primitive)


def has_mesh(ctx: mlir.LoweringRuleContext) -> bool:
    """Returns whether a program is lowered for several devices, outside a `shard_map`."""
    axis_context: Any = ctx.module_context.axis_context
    return getattr(axis_context, "num_devices", 1) > 1 and axis_context.abstract_mesh is not None


def _on_own(
    bind: _Function,
    geometry: Geometry,
    axes: Any,
    is_sum: bool,
    *operands: jax.Array,
    **parameters: Any,
) -> jax.Array:
    """Applies the primitive to a device's own images; a sum is added up over the devices."""
    shape = geometry.shape if is_sum else (operands[0].shape[0], *geometry.shape[1:])
    result = bind(*operands, geometry=geometry._replace(shape=shape), **parameters)
    return lax.psum(result, axes) if is_sum and axes is not None else result


def _rule(
    operands: Sequence[jax.Array], has_images: Sequence[bool], is_sum: bool
) -> SdyShardingRule:
    """Returns XLA's rule for propagating shardings: only along the image axis.

    Args:
      operands: Arrays or tracers.
      has_images: True for each operand whose first axis is the image axis.
      is_sum: Whether the result lacks the image axis.
    """
    ranks = [*(operand.ndim for operand in operands), _RESULT_AXES]
    factors = [[f"axis{i}_{j}" for j in range(rank)] for i, rank in enumerate(ranks)]
    for array, has in zip(factors, (*has_images, not is_sum), strict=True):
        array[0] = "image" if has else array[0]
    mappings = tuple(ArrayMapping(*array) for array in factors)
    whole = {factor for array in factors for factor in array} - {"image"}
    return SdyShardingRule(
        mappings[:-1],
        mappings[-1:],
        reduction_factors=("image",) if is_sum else (),
        need_replication_factors=tuple(sorted(whole)),
    )
