"""Primitives of convolution and of pooling, divided among the devices that share a batch.

XLA gathers the operands of what it cannot look into on every device. So in a program for a mesh,
which is one that is lowered under `jax.set_mesh`, each device is given its own images. A gradient
for the kernel is then a sum over the devices, the one place where they communicate.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from jax import lax
from jax.sharding import PartitionSpec

from flax_vision.ops.axes import DATA
from flax_vision.ops.xla_convolution import Geometry


def divided(
    bind: Callable[..., jax.Array],
    have_images: Sequence[bool],
    geometry: Geometry,
    images: int,
    is_sum: bool,
) -> Callable[..., jax.Array] | None:
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
    shape = geometry.shape if is_sum else (images // devices, *geometry.shape[1:])
    spec = {True: PartitionSpec(DATA), False: PartitionSpec()}

    def on_own(*operands: jax.Array, **parameters: Any) -> jax.Array:
        result = bind(*operands, geometry=geometry._replace(shape=shape), **parameters)
        return lax.psum(result, DATA) if is_sum else result

    def on_all(*operands: jax.Array, **parameters: Any) -> jax.Array:
        in_specs = tuple(spec[has] for has in have_images[: len(operands)])
        function = partial(on_own, **parameters)
        divided = jax.shard_map(
            function, in_specs=in_specs, out_specs=spec[not is_sum], axis_names={DATA}
        )
        return divided(*operands)

    return on_all
