"""The columns of a model: in a loop on one device, or each on its own device.

The maps of all columns are one array [N, H, W, C], column a before column b. On a mesh with an axis
`column` of 2, the channels lie over that axis, so each device has the maps of one column.
Parameters lie over it by their leading axis. Only `map_columns` with `inputs="all"` and
`gather_columns` exchange maps.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec

from flax_vision.runtime.mesh import COLUMN, DATA

COLUMNS = 2
"""Number of columns: AlexNet was made for two GPUs."""

ColumnInput = Literal["images", "own", "all"]
"""Input of a layer in each column: images without columns, the column's maps, or all maps."""

Layer = Callable[..., Array]


def column_mesh(mesh: Mesh | None) -> Mesh | None:
    """Returns the mesh if it has a device for each column; otherwise None, for a loop."""
    return mesh if mesh is not None and mesh.shape[COLUMN] > 1 else None


def map_columns(layer: Layer, mesh: Mesh | None, inputs: ColumnInput = "own") -> Layer:
    """Applies a layer to each column.

    Args:
      layer: Function from the inputs and parameters of one column to its maps.
      mesh: Result of `column_mesh`. Each column runs on its own devices, and an axis `data` divides
        the images of a batch. None runs a loop on one device.
      inputs: Input of each column. With `"all"`, devices gather each other's maps; in the backward
        pass each adds the others' gradients for its own maps.

    Returns:
      Function from maps [N, H, W, C] and parameters [2, ...] to maps [N, H', W', C'].
    """
    if mesh is None:
        return partial(_loop, layer, inputs)

    def on_own_device(x: Array, parameters: tuple[Array, ...]) -> Array:
        if inputs == "all":
            x = lax.all_gather(x, COLUMN, axis=3, tiled=True)
        return layer(x, *(own[0] for own in parameters))

    input_spec = _image_spec(mesh) if inputs == "images" else _map_spec(mesh)
    mapped = jax.shard_map(
        on_own_device,
        mesh=mesh,
        in_specs=(input_spec, PartitionSpec(COLUMN)),
        out_specs=_map_spec(mesh),
    )
    return lambda x, *parameters: mapped(x, parameters)


def gather_columns(x: Array, mesh: Mesh | None) -> Array:
    """Returns the maps of all columns on every device, for a layer without columns.

    Every device computes the same from them, so the backward pass exchanges nothing.
    """
    if mesh is None:
        return x
    gather = partial(lax.all_gather, axis_name=COLUMN, axis=3, tiled=True, to="invarying")
    own, whole = _map_spec(mesh), _image_spec(mesh)
    return jax.shard_map(gather, mesh=mesh, in_specs=own, out_specs=whole)(x)


def check_mesh(mesh: Mesh) -> None:
    """Raises a ValueError unless the mesh has an axis `column` of 1 or 2."""
    size = mesh.shape.get(COLUMN)
    if size not in (1, COLUMNS):
        axes = " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
        found = "no axis 'column'" if size is None else f"an axis 'column' of {size}"
        raise ValueError(
            f"the mesh of {axes} has {found}; it must be {COLUMNS}, a device for each column, or 1."
        )


def check_batch(images: Array, mesh: Mesh | None) -> None:
    """Raises a ValueError if the mesh's axis `data` does not divide the images."""
    count, devices = images.shape[0], mesh.shape.get(DATA, 1) if mesh else 1
    if count % devices:
        raise ValueError(
            f"a batch of {count} images cannot be divided over the mesh's axis {DATA!r} of "
            f"{devices}; give a multiple of {devices}, or a mesh with a shorter axis."
        )


def _loop(layer: Layer, inputs: ColumnInput, x: Array, *parameters: Any) -> Array:
    own = (x.shape[-1] // COLUMNS,) * COLUMNS
    columns = lax.split(x, own, axis=x.ndim - 1) if inputs == "own" else (x,) * COLUMNS
    maps = [layer(*column) for column in zip(columns, *parameters, strict=True)]
    return jnp.concatenate(maps, axis=-1)


def _image_spec(mesh: Mesh) -> PartitionSpec:
    """Returns the sharding of arrays without columns: images over `data`."""
    # Over an axis of 1 XLA would still sum gradients, each with itself.
    return PartitionSpec(DATA if mesh.shape.get(DATA, 1) > 1 else None)


def _map_spec(mesh: Mesh) -> PartitionSpec:
    """Returns the sharding of the columns' maps: images over `data`, channels over `column`."""
    return PartitionSpec(*_image_spec(mesh), None, None, COLUMN)
