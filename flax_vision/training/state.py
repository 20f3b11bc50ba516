"""What a run is trained by, and everything that decides what it does next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.data.augmentation import Augmentation
from flax_vision.evaluation.metrics import Totals
from flax_vision.training.freeze import Layer, merge_params
from flax_vision.training.levenberg_marquardt import Curvature
from flax_vision.training.losses import Loss


@dataclass(frozen=True)
class TrainSpec:
    """How a network is trained.

    Attributes:
      loss: what is minimised.
      optimizer: how; its `update` takes the rate as `learning_rate`.
      schedule: the learning rate by step.
      plateau: lowers it besides; see `make_plateau`.
      steps_per_epoch: steps in each epoch.
      augmentation: of the training images.
      auxiliary: weight of the loss of each auxiliary head, where the network has some.
      average: decay of the running average of the parameters that is tested and exported in their
        place; 0 for none.
      curvature: estimates what the optimizer divides by, before each epoch; None where it does not.
      frozen: layers that keep their parameters and statistics.
    """

    loss: Loss
    optimizer: optax.GradientTransformationExtraArgs
    schedule: optax.Schedule
    plateau: optax.GradientTransformationExtraArgs
    steps_per_epoch: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    auxiliary: float = 0.3
    average: float = 0.0
    curvature: Curvature | None = None
    frozen: frozenset[Layer] = frozenset()


class TrainState(struct.PyTreeNode):
    """Everything that decides what a run does next.

    Attributes:
      step: int32 [], steps done; with the seed it is the place in the order of the images.
      params: parameters of the network.
      statistics: its other collections, such as `batch_stats`.
      opt_state: of the optimizer.
      average: of the trained parameters so far, where the recipe asks for it, else None.
      plateau: of what lowers the rate when nothing is gained any more.
      key: PRNG key of the run, the same at every step.
      totals: of the epoch so far.
      bad_step: int32 [], the first step whose loss was not finite, counted from 1; 0 for none.
    """

    step: jax.Array
    params: Any
    statistics: Any
    opt_state: optax.OptState
    average: Any
    plateau: Any
    key: jax.Array
    totals: Totals
    bad_step: jax.Array

    @property
    def variables(self) -> dict[str, Any]:
        """What the network's `apply` takes in a test."""
        params = self.params if self.average is None else merge_params(self.params, self.average)
        return {"params": params, **self.statistics}

    def starting_from(self, variables: Mapping[str, Any]) -> "TrainState":
        """Returns the state with these parameters and statistics in place of its own."""
        own = {"params": self.params, **self.statistics}
        places = {path: x.sharding for path, x in flatten_dict(own).items()}
        placed = {
            path: jax.device_put(np.asarray(x), places[path])
            for path, x in flatten_dict(variables).items()
        }
        statistics = dict(merge_params(own, unflatten_dict(placed)))
        params = statistics.pop("params")
        average = self.average
        if average is not None:
            # Copies, for a step takes the memory of each.
            flat = flatten_dict(params)
            average = unflatten_dict({path: jnp.copy(flat[path]) for path in flatten_dict(average)})
        return self.replace(params=params, statistics=statistics, average=average)


@jax.jit
def is_finite(state: TrainState) -> jax.Array:
    """Returns bool [], whether every loss so far, parameter and statistic is finite."""
    # The best error of the plateau's begins with infinity.
    floats = [
        x
        for x in jax.tree.leaves(state.replace(plateau=None))
        if jnp.issubdtype(x.dtype, jnp.floating)
    ]
    finite = jnp.stack([jnp.isfinite(x).all() for x in floats])
    return finite.all() & (state.bad_step == 0)
