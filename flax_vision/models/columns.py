"""The columns of a network: in a loop on one device, or each on a device of its own.

The maps of all columns are one array [N, H, W, C], those of column a before those of column b. On a
mesh whose axis `column` is as long as there are columns its channels lie over that axis, so that
each device has the maps of its own column, and parameters lie over it by their leading axis. What
the columns exchange is gathered where it says so and nowhere else.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from flax_vision.runtime.mesh import COLUMN, DATA

COLUMNS = 2
"""How many there are: AlexNet was made for two GPUs."""

ColumnInput = Literal["images", "own", "all"]
"""What a layer sees in each column: what has no columns, its own maps, or those of both."""


def with_columns(mesh: Mesh | None) -> Mesh | None:
    """Returns a mesh that has a device for each column; None for every other, as for one device."""
    return mesh if mesh is not None and mesh.shape[COLUMN] > 1 else None


def in_each_column(
    layer: Callable[..., jax.Array], mesh: Mesh | None, sees: ColumnInput = "own"
) -> Callable[..., jax.Array]:
    """Makes the layer of a column one of all columns.

    Args:
      layer: of the maps that a column sees, and of its own parameters, to the column's maps.
      mesh: from `with_columns`; each column is computed on its own devices, and the images of a
        batch are divided over an axis `data`. None for a loop on one device.
      sees: with `"all"` devices gather each other's maps, and in the backward pass each has the
        others' gradients for its own maps added to its own.

    Returns:
      The layer of maps [N, H, W, C] and parameters [2, ...], to maps [N, H', W', C'].
    """
    if mesh is None:
        return partial(_loop, layer, sees)

    def on_its_device(x: jax.Array, parameters: tuple[jax.Array, ...]) -> jax.Array:
        if sees == "all":
            x = lax.all_gather(x, COLUMN, axis=3, tiled=True)
        return layer(x, *(own[0] for own in parameters))

    seen = _images(mesh) if sees == "images" else _maps(mesh)
    mapped = jax.shard_map(
        on_its_device,
        mesh=mesh,
        in_specs=(seen, PartitionSpec(COLUMN)),
        out_specs=_maps(mesh),
    )
    return lambda x, *parameters: mapped(x, parameters)


def joined(x: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Returns the maps of all columns, for a layer that has none: all of them on every device.

    As every device computes the same from them, the backward pass exchanges nothing.
    """
    if mesh is None:
        return x
    gather = partial(lax.all_gather, axis_name=COLUMN, axis=3, tiled=True, to="invarying")
    return jax.shard_map(gather, mesh=mesh, in_specs=_maps(mesh), out_specs=_images(mesh))(x)


def check_mesh(mesh: Mesh) -> None:
    """Raises a ValueError unless the mesh has an axis `column` of 1 or 2."""
    axes = " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    if COLUMN not in mesh.shape:
        raise ValueError(
            f"the mesh of {axes} has no axis {COLUMN!r}; make it with one of {COLUMNS}, a device "
            "for each column, or of 1."
        )
    if mesh.shape[COLUMN] not in (1, COLUMNS):
        raise ValueError(
            f"the mesh of {axes} has an axis {COLUMN!r} of {mesh.shape[COLUMN]}; it must be "
            f"{COLUMNS}, a device for each column, or 1."
        )


def check_batch(images: jax.Array, mesh: Mesh | None) -> None:
    """Raises a ValueError where the images cannot be divided over the mesh's axis `data`."""
    if mesh is None:
        return
    count, devices = images.shape[0], mesh.shape.get(DATA, 1)
    if count % devices:
        raise ValueError(
            f"a batch of {count} images cannot be divided over the mesh's axis {DATA!r} of "
            f"{devices}; give a multiple of {devices}, or a mesh with a shorter axis."
        )


def _loop(
    layer: Callable[..., jax.Array], sees: ColumnInput, x: jax.Array, *parameters: Any
) -> jax.Array:
    own = (x.shape[-1] // COLUMNS,) * COLUMNS
    columns = lax.split(x, own, axis=x.ndim - 1) if sees == "own" else (x,) * COLUMNS
    maps = [layer(*of_column) for of_column in zip(columns, *parameters, strict=True)]
    return jnp.concatenate(maps, axis=-1)


def _images(mesh: Mesh) -> PartitionSpec:
    """What every column has: divided over `data` alone."""
    # Over an axis of 1 XLA would still sum gradients, each with itself.
    return PartitionSpec(DATA if mesh.shape.get(DATA, 1) > 1 else None)


def _maps(mesh: Mesh) -> PartitionSpec:
    """The maps of the columns: images over `data`, channels over `column`."""
    return PartitionSpec(*_images(mesh), None, None, COLUMN)
