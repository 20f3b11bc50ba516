"""Partitioning of the primitives over devices that share a batch.

XLA gathers the operands of a custom call on every device, so each device gets its own images here.
Under `jax.set_mesh` the mesh's axis `data` divides them. In any other program for several devices,
XLA's own division of the images is used. A kernel's gradient is then a sum over the devices, the
only communication.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
from jax import Array, lax
from jax.experimental.custom_partitioning import ArrayMapping, SdyShardingRule, custom_partitioning
from jax.experimental.xla_metadata import set_xla_metadata
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flax_vision.ops.cpu.xla_convolution import Geometry
from flax_vision.runtime.mesh import DATA

_RESULT_AXES = 4

_Function = Callable[..., Array]


class BatchPartitioning(NamedTuple):
    """A primitive whose operands may have an image axis, the first.

    Attributes:
      bind: Function that binds the primitive to operands and, by keyword, its parameters.
      batched: True for each operand that has the image axis.
      geometry: Geometry of the result over all devices.
      is_sum: Whether the result is a sum over the images, without their axis.
    """

    bind: _Function
    batched: Sequence[bool]
    geometry: Geometry
    is_sum: bool

    def partitioned(self, ctx: Any) -> _Function | None:
        """Returns the primitive on each device's own images; None in a program for one device.

        Args:
          ctx: Context of the primitive's lowering.
        """
        mesh = jax.sharding.get_abstract_mesh()
        devices, first_operand = mesh.shape.get(DATA, 1), ctx.avals_in[0]
        if devices > 1 and DATA not in mesh.manual_axes and first_operand.shape[0] % devices == 0:
            return self._over_data
        axis_context = ctx.module_context.axis_context
        if getattr(axis_context, "num_devices", 1) > 1 and axis_context.abstract_mesh is not None:
            return self._as_xla_does
        return None

    def _over_data(self, *operands: Array, **parameters: Any) -> Array:
        spec = {True: PartitionSpec(DATA), False: PartitionSpec()}
        on_device = jax.shard_map(
            partial(self._on_own_images, DATA, **parameters),
            in_specs=tuple(spec[has] for has in self.batched[: len(operands)]),
            out_specs=spec[not self.is_sum],
            axis_names={DATA},
        )
        return on_device(*operands)

    def _as_xla_does(self, *operands: Array, **parameters: Any) -> Array:
        """Applies the primitive with a partitioning rule for XLA, on any mesh.

        Images stay divided along their first axis. All other axes are whole on every device.
        """
        has_images = self.batched[: len(operands)]

        def partition(mesh: Mesh, arrays: Sequence[Any], result: Any) -> Any:
            given = [x.sharding.spec[0] for x, has in zip(arrays, has_images, strict=True) if has]
            axes = next(filter(None, given), None)
            share, whole = (NamedSharding(mesh, PartitionSpec(axis)) for axis in (axes, None))
            on_device = partial(self._on_own_images, axes, **parameters)
            in_shardings = tuple(share if has else whole for has in has_images)
            return mesh, on_device, whole if self.is_sum else share, in_shardings

        function = custom_partitioning(partial(self.bind, geometry=self.geometry, **parameters))
        function.def_partition(partition, sharding_rule=self._rule(operands, has_images))
        # Without it, programs with other geometries look equal to JAX's compilation cache.
        with set_xla_metadata(flax_vision=repr((self.geometry, parameters))):
            result: Array = function(*operands)
        return result

    def _on_own_images(self, axes: Any, *operands: Array, **parameters: Any) -> Array:
        """Applies the primitive to a device's own images, and adds up a sum over the devices."""
        shape = self.geometry.shape
        shape = shape if self.is_sum else (operands[0].shape[0], *shape[1:])
        result = self.bind(*operands, geometry=self.geometry._replace(shape=shape), **parameters)
        return lax.psum(result, axes) if self.is_sum and axes is not None else result

    def _rule(self, operands: Sequence[Array], has_images: Sequence[bool]) -> SdyShardingRule:
        """Returns XLA's rule for propagating shardings: only along the image axis."""
        ranks = [*(operand.ndim for operand in operands), _RESULT_AXES]
        factors = [[f"axis{i}_{j}" for j in range(rank)] for i, rank in enumerate(ranks)]
        for array, has in zip(factors, (*has_images, not self.is_sum), strict=True):
            array[0] = "image" if has else array[0]
        mappings = tuple(ArrayMapping(*array) for array in factors)
        whole = {factor for array in factors for factor in array} - {"image"}
        return SdyShardingRule(
            mappings[:-1],
            mappings[-1:],
            reduction_factors=("image",) if self.is_sum else (),
            need_replication_factors=tuple(sorted(whole)),
        )
