"""Division of batches, parameters and optimizer states among the devices of a mesh."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from flax_vision.data.batches import Batch
from flax_vision.errors import UserError
from flax_vision.models.registry import create_model
from flax_vision.runtime import multihost
from flax_vision.runtime.mesh import DATA, make_mesh, parameter_shardings

_MIN_SIZE = 1 << 16
"""Smallest size of an array that FSDP divides."""

_MIN_SIZE_IN_USE = 1 << 22
"""Smallest size of an array that stays divided while it is used.

Only kernels of fully connected layers are that large. Gathering their input takes less
communication than gathering them.
"""


class Partitioner:
    """Places the arrays of a run on the devices of a mesh.

    Attributes:
      mesh: Devices of the run.
      fsdp: Whether large parameters and their optimizer states are divided along the axis `data`.
        Kernels of convolutions are gathered for each step. Kernels of large fully connected layers
        stay divided, and each device multiplies all inputs by its shard.
      column_layers: Layers that are divided along the axis `column`.
      replicated: Sharding of arrays that are whole on every device.
    """

    def __init__(
        self, mesh: Mesh | None = None, fsdp: bool = False, column_layers: Sequence[str] = ()
    ) -> None:
        """The default mesh is the first device."""
        self.mesh = make_mesh(data=1) if mesh is None else mesh
        self.fsdp = fsdp
        self.column_layers = column_layers
        self.replicated = NamedSharding(self.mesh, PartitionSpec())

    def describe(self, params: Any) -> str:
        """Returns a line about the mesh and the divided share of the parameters."""
        axes = " x ".join(f"{axis} {size}" for axis, size in self.mesh.shape.items() if size > 1)
        if not self.fsdp:
            return axes
        sizes = [leaf.size for leaf in jax.tree.leaves(params)]
        specs = [sharding.spec for sharding in jax.tree.leaves(self.state_shardings(params))]
        divided = sum(size for size, spec in zip(sizes, specs, strict=True) if DATA in spec)
        return f"{axes}, {divided / sum(sizes):.0%} of the parameters divided"

    def batch_sharding(self, ndim: int = 1) -> NamedSharding:
        """Returns the sharding of batches with labels [N] (`ndim=1`) or [K, N] (`ndim=2`)."""
        return NamedSharding(self.mesh, PartitionSpec(*[None] * (ndim - 1), DATA))

    def state_shardings(self, state: Any) -> Any:
        """Returns the shardings of a tree of stored arrays, or of their shapes."""
        return self._shardings(state, _MIN_SIZE)

    def use_shardings(self, state: Any) -> Any:
        """Returns the shardings of the same tree while a step uses it."""
        return self._shardings(state, _MIN_SIZE_IN_USE)

    def local_rows(self, batch_size: int) -> np.ndarray:
        """Returns the indices of this process's images in a batch: int [n], ascending."""
        slices = self.batch_sharding().addressable_devices_indices_map((batch_size,)).values()
        rows = {row for (own,) in slices for row in range(batch_size)[own]}  # type: ignore
        return np.array(sorted(rows))

    def shard_batch(self, batch: Batch) -> Batch:
        """Puts this process's rows of a batch on its devices."""
        sharding = self.batch_sharding(batch.labels.ndim)
        sharded: Batch = jax.make_array_from_process_local_data(sharding, batch)
        return sharded

    def replicate(self, batch: Batch) -> Batch:
        """Puts a batch that every process has on every device."""
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self.replicated, np.asarray(x)), batch
        )

    def all_gather(self, tree: Any) -> Any:
        """Returns the arrays of a tree whole in every process."""
        if jax.process_count() == 1:
            return tree
        return jax.jit(lambda tree: tree, out_shardings=self.replicated)(tree)

    def _shardings(self, tree: Any, min_size: int) -> Any:
        """Returns the shardings of a tree; FSDP divides arrays from `min_size` on."""

        def divide(leaf: Any, column: NamedSharding) -> NamedSharding:
            shape = leaf.shape[len(column.spec) :]
            spec = self._fsdp_spec(shape) if self.fsdp and np.prod(shape) >= min_size else ()
            return NamedSharding(self.mesh, PartitionSpec(*column.spec, *spec))

        columns = parameter_shardings(tree, self.mesh, self.column_layers)
        return jax.tree.map(divide, tree, columns)

    def _fsdp_spec(self, shape: tuple[int, ...]) -> PartitionSpec:
        """Divides the longest axis that the devices divide evenly."""
        devices = self.mesh.shape[DATA]
        axes = [axis for axis, size in enumerate(shape) if size % devices == 0]
        if not axes:
            return PartitionSpec()
        return PartitionSpec(*[None] * max(axes, key=lambda axis: shape[axis]), DATA)


def make_partitioner(config: ConfigDict) -> Partitioner:
    """Returns the partitioner of a configuration.

    Raises:
      UserError: The devices do not exist, or the batch or the model cannot be divided among them.
    """
    try:
        mesh = make_mesh(data=config.mesh.data or None, column=config.mesh.column)
        model = create_model(mesh=mesh, **config.model.to_dict())
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"config.mesh: {error}") from error
    _check_mesh(mesh, config.batch_size)
    return Partitioner(mesh, config.mesh.fsdp, getattr(model, "column_layers", ()))


def _check_mesh(mesh: Mesh, batch_size: int) -> None:
    processes, devices = multihost.process_count(), mesh.shape[DATA]
    if processes > 1 and mesh.size < jax.device_count():
        raise UserError(
            f"config.mesh has {mesh.size} of the {jax.device_count()} devices of {processes} "
            "processes, and each must have devices in it; give --config.mesh.data=0 for all."
        )
    if batch_size % devices:
        fewer = f"--config.mesh.data={math.gcd(batch_size, devices)} or "
        raise UserError(
            f"config.batch_size is {batch_size}, which cannot be divided among {devices} devices; "
            f"give {'' if processes > 1 else fewer}"
            f"--config.batch_size={-(-batch_size // devices) * devices}."
        )
