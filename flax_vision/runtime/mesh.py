"""Meshes: which devices share a batch, and which the columns of AlexNet."""

import math
import os
from collections.abc import Iterable
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA = "data"
"""Along which each device has its share of a batch."""

COLUMN = "column"
"""Along which each device has a column of AlexNet's."""


def make_mesh(*, data: int | None = None, column: int = 1) -> Mesh:
    """Returns a mesh with the axes `data` and `column` over the devices that JAX sees.

    Args:
      data: devices that share a batch; None for all that there are, `column` for each share.
      column: devices that share the columns of each image's network.

    Raises:
      ValueError: there are not that many devices, or `column` does not divide them.
    """
    devices = jax.devices()
    for axis, size in ((DATA, data), (COLUMN, column)):
        if size is not None and size < 1:
            raise ValueError(f"the mesh's axis {axis!r} is {size}; it must be at least 1.")
    if data is None:
        data = max(len(devices) // column, 1)
        if len(devices) >= column and len(devices) % column:
            raise ValueError(
                f"the mesh's axis {COLUMN!r} of {column} does not divide the {len(devices)} "
                f"devices; give the axis {DATA!r} a size of at most {data}."
            )
    shape = {DATA: data, COLUMN: column}
    needed = math.prod(shape.values())
    if needed > len(devices):
        raise ValueError(_too_few(shape, needed, devices))
    # Explicit axes, JAX's default, are not for linen's Dropout.
    axis_types = (AxisType.Auto,) * len(shape)
    return jax.make_mesh(
        tuple(shape.values()), tuple(shape), axis_types=axis_types, devices=devices[:needed]
    )


def parameter_shardings(tree: Any, mesh: Mesh, column_layers: Iterable[str] = ()) -> Any:
    """Returns where on the mesh each array of a tree lies, before there is any.

    With it as `out_shardings` of a compiled `init` parameters are born divided.

    Args:
      tree: parameters, variables, or what has their structure somewhere inside, such as the state
        of an optimizer; arrays, or their shapes and types.
      mesh: the devices.
      column_layers: layers whose arrays have a leading axis of columns, which lies over the mesh's
        axis `column`: the `column_layers` of a network that has some. All else is everywhere.

    Returns:
      A tree of the same structure, of `NamedSharding`.
    """
    layers = set(column_layers)

    def of_array(path: tuple[Any, ...], array: Any) -> NamedSharding:
        keys = {getattr(key, "key", None) for key in path}
        is_divided = COLUMN in mesh.shape and array.ndim > 0 and not layers.isdisjoint(keys)
        return NamedSharding(mesh, PartitionSpec(COLUMN) if is_divided else PartitionSpec())

    return jax.tree.map_with_path(of_array, tree)


def _too_few(shape: dict[str, int], needed: int, devices: list[jax.Device]) -> str:
    axes = " x ".join(f"{axis} {size}" for axis, size in shape.items())
    message = f"a mesh of {axes} needs {needed} devices, and JAX sees {len(devices)}; "
    if devices[0].platform != "cpu":
        return f"{message}give a smaller mesh."
    processes = jax.process_count()
    each = -(-needed // processes)
    setting = f"XLA_FLAGS=--xla_force_host_platform_device_count={each}"
    if os.environ.get("JAX_NUM_CPU_DEVICES"):  # which JAX heeds more
        setting = f"JAX_NUM_CPU_DEVICES={each}"
    where = f" of each of the {processes} processes" if processes > 1 else ""
    return f"{message}{setting} in the environment{where} emulates them on this CPU."
