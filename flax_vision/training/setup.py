"""What a run is made of: data, network, and the functions that train it."""

from dataclasses import dataclass

import jax
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from flax_vision.data.batches import training_batches
from flax_vision.data.image_set import ImageSet, Report
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.sources import Parts, load_parts
from flax_vision.errors import UserError
from flax_vision.training.losses import make_loss
from flax_vision.training.optimizers import make_optimizer, make_schedule
from flax_vision.training.step import Program
from flax_vision.weights.exported import ModelCard

_MOST_STEPS = 2**31 - 1
"""Steps are counted in int32."""


@dataclass(frozen=True)
class Setup:
    """The parts of a run that do not change while it goes on.

    Attributes:
      config: the checked configuration.
      parts: the data.
      card: what the export will say of the network.
      schedule: the learning rate by step.
      program: the compiled functions.
      steps_per_epoch: whole batches in the training set.
    """

    config: ConfigDict
    parts: Parts
    card: ModelCard
    schedule: optax.Schedule
    program: Program
    steps_per_epoch: int

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    def summary(self) -> str:
        """Returns a line about the network and the data."""
        parameters = sum(leaf.size for leaf in jax.tree.leaves(self.program.state.params))
        parts = self.parts
        return (
            f"{self.card.name}: {parameters:,} parameters; {self.config.data.name}: "
            f"{len(parts.train):,} training, {len(parts.validation):,} validation, "
            f"{len(parts.test):,} test images; {self.steps_per_epoch:,} steps an epoch"
        )


def prepare(config: ConfigDict, report: Report) -> Setup:
    """Reads the data and builds everything, without compiling anything yet.

    Args:
      config: a checked configuration.
      report: called with a text, the images read so far and their number.

    Raises:
      UserError: the data cannot be had, or do not fit the configuration or the network.
    """
    data = config.data
    parts = load_parts(data.name, data.directory, data.validation, report)
    steps_per_epoch = len(parts.train) // config.batch_size
    if not steps_per_epoch:
        raise UserError(
            f"config.batch_size is {config.batch_size}, and the training set has only "
            f"{len(parts.train)} images; give a batch of at most that."
        )
    if config.epochs * steps_per_epoch > _MOST_STEPS:
        raise UserError(
            f"config.epochs is {config.epochs}, which makes {config.epochs * steps_per_epoch:,} "
            f"steps; give at most {_MOST_STEPS // steps_per_epoch:,} epochs."
        )
    card = _describe(config, parts.train)
    schedule = make_schedule(config.schedule, config.epochs * steps_per_epoch)
    program = Program(
        _make_model(card),
        make_loss(config.loss.name, config.loss.rubbish),
        make_optimizer(config.optimizer, schedule),
        card.preprocessing,
        next(training_batches(parts.train, config.batch_size, config.seed, 0)),
    )
    return Setup(config, parts, card, schedule, program, steps_per_epoch)


def _describe(config: ConfigDict, train: ImageSet) -> ModelCard:
    options = config.model.to_dict()
    channels = train.images.shape[-1]
    for key in ("mean", "std"):
        if len(config.data[key]) not in (1, channels):
            raise UserError(
                f"config.data.{key} has {len(config.data[key])} numbers, and the images of "
                f"{config.data.name!r} have {channels} channels; give one number or {channels}."
            )
    return ModelCard(
        name=options.pop("name"),
        options=options,
        class_names=train.class_names,
        image_shape=train.images.shape[1:],
        preprocessing=Preprocessing(config.data.mean, config.data.std),
        metrics={},
    )


def _make_model(card: ModelCard) -> nn.Module:
    """Returns the network, having tried it on the shape of the images."""
    model = card.create_model()
    images = jax.ShapeDtypeStruct((1, *card.image_shape), "float32")
    try:
        jax.eval_shape(model.init, jax.random.key(0), images)
    except ValueError as error:
        raise UserError(f"{card.name} cannot take the data set: {error}") from error
    return model
