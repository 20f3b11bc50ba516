"""Meshes of devices: the axis `data` shares a batch, the axis `column` AlexNet's columns."""

import math
import os
from collections.abc import Iterable
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA = "data"
"""Name of the mesh axis that divides a batch."""

COLUMN = "column"
"""Name of the mesh axis that divides the columns of AlexNet."""


def make_mesh(*, data: int | None = None, column: int = 1) -> Mesh:
    """Returns a mesh with the axes `data` and `column` over the devices that JAX sees.

    Args:
      data: Number of devices that share a batch; None for all devices divided by `column`.
      column: Number of devices that share the columns of each image's model.

    Raises:
      ValueError: There are too few devices, or `column` does not divide their number.
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
    count = data * column
    if count > len(devices):
        raise ValueError(_too_few_devices(data, column, devices))
    return jax.make_mesh(
        (data, column),
        (DATA, COLUMN),
        axis_types=(AxisType.Auto,) * 2,  # linen's Dropout fails with JAX's default, Explicit
        devices=devices[:count],
    )


def parameter_shardings(tree: Any, mesh: Mesh, column_layers: Iterable[str] = ()) -> Any:
    """Returns the sharding of each array in a tree, also for arrays that do not exist yet.

    As `out_shardings` of a compiled `init` it creates the parameters already divided.

    Args:
      tree: Parameters, variables, or a tree that contains their structure, such as an optimizer's
        state. The leaves are arrays, or their shapes and types.
      mesh: Mesh of the devices.
      column_layers: Names of the layers whose arrays have a leading axis of columns, as in the
        model's `column_layers`. The mesh axis `column` divides that axis; all other arrays are
        replicated.

    Returns:
      A tree of the same structure with a `NamedSharding` for each array.
    """
    layers = set(column_layers)

    def sharding(path: tuple[Any, ...], array: Any) -> NamedSharding:
        keys = {getattr(key, "key", None) for key in path}
        is_divided = COLUMN in mesh.shape and array.ndim > 0 and not layers.isdisjoint(keys)
        return NamedSharding(mesh, PartitionSpec(COLUMN) if is_divided else PartitionSpec())

    return jax.tree.map_with_path(sharding, tree)


def _too_few_devices(data: int, column: int, devices: list[jax.Device]) -> str:
    needed, processes = data * column, jax.process_count()
    message = (
        f"a mesh of {DATA} {data} x {COLUMN} {column} needs {needed} devices, and JAX sees "
        f"{len(devices)}; "
    )
    if devices[0].platform != "cpu":
        return f"{message}give a smaller mesh."
    setting = "XLA_FLAGS=--xla_force_host_platform_device_count"
    if os.environ.get("JAX_NUM_CPU_DEVICES"):  # JAX prefers this variable
        setting = "JAX_NUM_CPU_DEVICES"
    where = f" of each of the {processes} processes" if processes > 1 else ""
    return (
        f"{message}{setting}={math.ceil(needed / processes)} in the environment{where} emulates "
        "them on this CPU."
    )
