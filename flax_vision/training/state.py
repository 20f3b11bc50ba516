"""The fixed specification of a training step, and the state that each step changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from flax_vision.data.augmentation import Augmentation
from flax_vision.data.dataset import Dataset
from flax_vision.errors import UserError
from flax_vision.evaluation.metrics import Totals
from flax_vision.models.lenet import LeNet5
from flax_vision.training import levenberg_marquardt, losses, optimizers, schedules
from flax_vision.training.freeze import Layer, merge_params


@dataclass(frozen=True)
class TrainSpec:
    """Loss, optimizer, schedule and augmentation of a run.

    Attributes:
      loss: Training loss of each image.
      optimizer: Optimizer, whose `update` takes the learning rate as `learning_rate`.
      schedule: Learning rate by step.
      plateau: Transformation whose state scales the rate; see `make_plateau`.
      steps_per_epoch: Steps in each epoch.
      augmentation: Augmentation of the training images.
      aux_weight: Weight of the loss of each auxiliary head.
      ema_decay: Decay of the average of the parameters that is tested and exported; 0 for none.
      curvature: Estimator of the curvature before each epoch; None for other optimizers.
      frozen: Layers that keep their parameters and statistics.
      eval_loss: Loss that evaluation reports; None for `loss`.
      class_weights: Weight of each class in the training loss; empty for equal weights.
    """

    loss: losses.Loss
    optimizer: optax.GradientTransformationExtraArgs
    schedule: optax.Schedule
    plateau: optax.GradientTransformationExtraArgs
    steps_per_epoch: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    aux_weight: float = 0.3
    ema_decay: float = 0.0
    curvature: levenberg_marquardt.Curvature | None = None
    frozen: frozenset[Layer] = frozenset()
    eval_loss: losses.Loss | None = None
    class_weights: tuple[float, ...] = ()


def make_train_spec(
    config: ConfigDict,
    model: nn.Module,
    frozen: frozenset[Layer],
    steps_per_epoch: int,
    train: Dataset | None = None,
) -> TrainSpec:
    """Returns the specification of a configuration, without augmentation.

    Args:
      config: Checked configuration.
      model: Model to train.
      frozen: Layers that keep their parameters and statistics.
      steps_per_epoch: Steps in each epoch.
      train: Training set, for the class weights; None for equal weights.

    Raises:
      UserError: The optimizer does not support the model, or the class weights do not fit the
        classes.
    """
    options = config.loss
    loss = losses.make_loss(
        options.name, options.map_j, options.focal_gamma, options.label_smoothing
    )
    curvature: levenberg_marquardt.Curvature | None = None
    if config.optimizer.name == "levenberg_marquardt":
        if not isinstance(model, LeNet5) or model.trainable_codes:
            raise UserError(
                "config.optimizer.name is 'levenberg_marquardt', which is for lenet5 with fixed "
                "codes; choose sgd."
            )
        curvature = levenberg_marquardt.make_curvature(model, loss)
    return TrainSpec(
        loss,
        optimizers.make_optimizer(config.optimizer),
        schedules.make_schedule(config.schedule, config.epochs, steps_per_epoch),
        schedules.make_plateau(config.schedule),
        steps_per_epoch,
        aux_weight=config.loss.aux_weight,
        ema_decay=config.optimizer.ema_decay,
        curvature=curvature,
        frozen=frozen,
        eval_loss=losses.make_eval_loss(options.name, options.map_j),
        class_weights=losses.make_class_weights(options.class_weights, train) if train else (),
    )


class TrainState(struct.PyTreeNode):
    """Everything that a step reads and changes; checkpoints hold it.

    Attributes:
      step: Number of finished steps, int32 []. With the seed it gives the next images.
      params: Parameters of the model.
      statistics: Other collections of the model, such as `batch_stats`.
      opt_state: State of the optimizer.
      average: Average of the trained parameters; None without `TrainSpec.ema_decay`.
      plateau: State of `TrainSpec.plateau`.
      key: PRNG key of the run, the same at every step.
      totals: Totals of the current epoch.
      bad_step: First step whose loss was not finite, int32 [], counted from 1; 0 for none.
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
        """Variables of the model in an evaluation."""
        params = self.params if self.average is None else merge_params(self.params, self.average)
        return {"params": params, **self.statistics}

    def restart_plateau(self, plateau: optax.GradientTransformationExtraArgs) -> "TrainState":
        """Returns the state with a newly initialized `TrainSpec.plateau`."""

        def placed(x: jax.Array, like: jax.Array) -> jax.Array:
            return jax.device_put(np.asarray(x), like.sharding)

        start = plateau.init(self.params)
        return self.replace(plateau=jax.tree.map(placed, start, self.plateau))

    def init_from(self, variables: Mapping[str, Any]) -> "TrainState":
        """Returns the state with some variables replaced, and its average initialized from them."""
        own = flatten_dict({"params": self.params, **self.statistics})
        for path, x in flatten_dict(variables).items():
            own[path] = jax.device_put(np.asarray(x), own[path].sharding)
        statistics = unflatten_dict(own)
        params = statistics.pop("params")
        average = self.average
        if average is not None:
            # Copies, because a step donates the memory of both.
            names = flatten_dict(average)
            average = unflatten_dict({name: jnp.copy(own["params", *name]) for name in names})
        return self.replace(params=params, statistics=statistics, average=average)


@jax.jit
def is_finite(state: TrainState) -> jax.Array:
    """Returns bool [], whether all losses so far, parameters and statistics are finite."""
    # The best error of a new plateau state is infinite.
    leaves = jax.tree.leaves(state.replace(plateau=None))
    floats = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in floats]).all() & (state.bad_step == 0)


def not_finite_error(step: int, epoch: int, rate: float, saved: Sequence[int]) -> UserError:
    """Returns the error for a loss that is not finite.

    Args:
      step: First such step, counted from 1.
      epoch: Its epoch, counted from 1.
      rate: `config.schedule.lr`.
      saved: Steps of the checkpoints, oldest first.
    """
    return UserError(
        f"the loss is not finite at step {step:,} (epoch {epoch}). Likely causes: a learning "
        f"rate that is too high (config.schedule.lr is {rate}; try {rate / 10:g}), or "
        "pixels that are not normalized (config.data.mean and std). "
        + (f"The checkpoint of step {saved[-1]:,} is kept." if saved else "Nothing was saved.")
    )
