"""Which device of a mesh has what of a run: its share of every batch, and the state or a part."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flax_vision.data.batches import Batch
from flax_vision.runtime.mesh import DATA, make_mesh, parameter_shardings

_LARGE = 1 << 16
"""Numbers in an array from which on it is worth a communication to have a part of it only."""

_STAYS = 1 << 22
"""Numbers from which on an array stays divided in use. No convolution of the papers' has so many:
such are kernels of fully connected layers, before which it takes less to gather the maps."""


class Partitioner:
    """Where the arrays of a run are.

    Attributes:
      mesh: the devices.
      fsdp: whether large parameters, and what the optimizer keeps of them, are divided among the
        devices that share a batch. Kernels of convolutions are gathered for each step; in large
        fully connected layers each device multiplies the maps of all by its part of the kernel.
      column_layers: layers that are divided among the devices of the axis `column`.
    """

    def __init__(
        self, mesh: Mesh | None = None, fsdp: bool = False, column_layers: Sequence[str] = ()
    ) -> None:
        """By default everything is on the first device."""
        self.mesh = make_mesh(data=1) if mesh is None else mesh
        self.fsdp = fsdp
        self.column_layers = column_layers
        self.everywhere = NamedSharding(self.mesh, PartitionSpec())

    def describe(self, params: Any) -> str:
        """Returns a line about the mesh, and what share of the parameters is divided on it."""
        axes = " x ".join(f"{axis} {size}" for axis, size in self.mesh.shape.items() if size > 1)
        if not self.fsdp:
            return axes
        leaves = jax.tree.leaves(params)
        places = jax.tree.leaves(self.of_state(params))
        divided = sum(x.size for x, place in zip(leaves, places, strict=True) if DATA in place.spec)
        return f"{axes}, {divided / sum(x.size for x in leaves):.0%} of the parameters divided"

    def of_batch(self, dimensions: int = 1) -> NamedSharding:
        """Returns the sharding of batches whose labels have so many dimensions: [N] or [K, N]."""
        return NamedSharding(self.mesh, PartitionSpec(*[None] * (dimensions - 1), DATA))

    def of_state(self, state: Any) -> Any:
        """Returns the shardings of a tree of parameters and such, or of their shapes."""
        return self._divided(state, _LARGE)

    def of_use(self, state: Any) -> Any:
        """Returns the shardings of the same while it is used: what is gathered is whole."""
        return self._divided(state, _STAYS)

    def rows(self, batch_size: int) -> np.ndarray:
        """Returns which images of a batch the devices of this process have: int [n], ascending."""
        shares = self.of_batch().addressable_devices_indices_map((batch_size,)).values()
        own = {index for (share,) in shares for index in range(batch_size)[share]}  # type: ignore
        return np.array(sorted(own))

    def put(self, batch: Batch) -> Batch:
        """Puts what this process has of a batch, its `rows`, on the devices.

        A step takes it to one device by itself, without being waited for.
        """
        if self.mesh.size == 1:
            return batch
        sharding = self.of_batch(batch.labels.ndim)
        if jax.process_count() == 1:
            return jax.device_put(batch, sharding)
        return Batch(*(jax.make_array_from_process_local_data(sharding, x) for x in batch))

    def gathered(self, tree: Any) -> Any:
        """Returns arrays of which every process has the whole."""
        if jax.process_count() == 1:
            return tree
        return jax.jit(lambda tree: tree, out_shardings=self.everywhere)(tree)

    def put_everywhere(self, tree: Any) -> Any:
        """Puts arrays that every process has on every device."""
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self.everywhere, np.asarray(x)), tree
        )

    def _divided(self, tree: Any, least: int) -> Any:
        """Returns the shardings of a tree in which arrays of so many numbers are divided."""

        def of_array(leaf: Any, column: NamedSharding) -> NamedSharding:
            rest = leaf.shape[len(column.spec) :]
            over_data = self._spec(rest) if self.fsdp and np.prod(rest) >= least else ()
            return NamedSharding(self.mesh, PartitionSpec(*column.spec, *over_data))

        columns = parameter_shardings(tree, self.mesh, self.column_layers)
        return jax.tree.map(of_array, tree, columns)

    def _spec(self, shape: tuple[int, ...]) -> PartitionSpec:
        """Returns how an array is divided: along the longest axis that can be."""
        devices = self.mesh.shape[DATA]
        longest = sorted(range(len(shape)), key=lambda axis: -shape[axis])
        axis = next((axis for axis in longest if shape[axis] % devices == 0), None)
        return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, DATA)
