"""What a run is made of: data, network, and the functions that train it."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from flax_vision.data.background import measure_background
from flax_vision.data.batches import batch_shapes
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.splits import Splits
from flax_vision.errors import UserError
from flax_vision.models.lenet import LeNet5
from flax_vision.models.registry import create_model, find_variant
from flax_vision.runtime import multihost
from flax_vision.runtime.mesh import DATA, make_mesh
from flax_vision.text import counted
from flax_vision.training.data_pipeline import (
    load_data,
    make_augmentation,
    make_decode_config,
    make_preprocessing,
    with_training_mean,
)
from flax_vision.training.freeze import Layer, frozen_layers, trainable_params
from flax_vision.training.init_from import (
    InitialWeights,
    SourceModel,
    check_layers,
    load_source,
    select_weights,
    source_preprocessing,
)
from flax_vision.training.levenberg_marquardt import Curvature, make_curvature
from flax_vision.training.losses import make_loss
from flax_vision.training.optimizers import make_optimizer
from flax_vision.training.partitioning import Partitioner
from flax_vision.training.schedules import make_plateau, make_schedule
from flax_vision.training.state import TrainSpec
from flax_vision.training.step import TrainFunctions
from flax_vision.weights.saved_model import ModelMetadata

_MOST_STEPS = 2**31 - 1
"""Steps are counted in int32."""


@dataclass(frozen=True)
class Experiment:
    """The parts of a run that do not change while it goes on.

    Attributes:
      config: the checked configuration.
      parts: the data.
      metadata: what the export will say of the network.
      program: the compiled functions.
      steps_per_epoch: whole batches in the training set.
      initial: parameters and statistics that begin as another network's.
      notes: lines about unused files, copied weights and frozen layers.
    """

    config: ConfigDict
    parts: Splits
    metadata: ModelMetadata
    program: TrainFunctions
    steps_per_epoch: int
    initial: Mapping[str, Any] | None
    notes: Sequence[str] = ()

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    def summary(self) -> str:
        """Returns a line about the network and the data."""
        parameters = sum(leaf.size for leaf in jax.tree.leaves(self.program.state.params))
        parts = self.parts
        return (
            f"{self.metadata.name}: {parameters:,} parameters; {self.config.data.name}: "
            f"{len(parts.train):,} training, {len(parts.validation):,} validation, "
            f"{counted(len(parts.test), 'test image')}; "
            f"{counted(self.steps_per_epoch, 'step')} an epoch"
        )


def prepare(
    config: ConfigDict,
    on_progress: ProgressFn,
    claim: Callable[[Splits], None] = lambda parts: None,
    kept: ModelMetadata | None = None,
) -> Experiment:
    """Reads the data and builds everything, without compiling anything yet.

    Args:
      config: a checked configuration.
      on_progress: called with a text, the images read so far and their number.
      claim: called with the data; it raises a UserError where they are not those of the run.
      kept: Description of a resumed run's model, whose background is not measured again; such a
        run with `config.init_from` has its preprocessing and does not read the model again.

    Raises:
      UserError: the data cannot be had, or do not fit the configuration or the network.
    """
    placement = make_partitioner(config)
    initialized = kept if config.init_from else None
    frozen, other = _check_layers(config, is_begun=initialized is not None)
    reading = make_decode_config(config)
    parts = load_data(config, on_progress)
    claim(parts)
    steps_per_epoch = _steps_per_epoch(config, parts)
    metadata = _describe(config, parts.train, reading)
    model, shapes = _make_model(metadata, placement)
    recipe = _make_recipe(config, model, frozen, steps_per_epoch)
    start = select_weights(other, shapes, len(metadata.class_names)) if other else None
    # What may be wrong is found before the images are looked at, which can take a while.
    if initialized is not None:
        preprocessing = initialized.preprocessing
    elif start and config.init_preprocessing:
        preprocessing = source_preprocessing(start.source.metadata, metadata.preprocessing)
    else:
        preprocessing = with_training_mean(
            metadata.preprocessing, config.data.subtract_mean, parts.train, on_progress
        )
    augmentation = make_augmentation(config.augmentation, parts.train, preprocessing, on_progress)
    background = (kept and kept.background) or measure_background(parts.train, on_progress)
    metadata = dataclasses.replace(metadata, preprocessing=preprocessing, background=background)
    program = TrainFunctions(
        model,
        dataclasses.replace(recipe, augmentation=augmentation),
        preprocessing,
        batch_shapes(parts.train.image_shape, config.batch_size),
        placement,
    )
    initial = start.variables if start else None if initialized else {}
    notes = [*parts.warnings(), *_notes(config, metadata, start, frozen, shapes["params"])]
    return Experiment(config, parts, metadata, program, steps_per_epoch, initial, notes)


def _steps_per_epoch(config: ConfigDict, parts: Splits) -> int:
    """Returns the whole batches in the training set; raises a UserError where they will not do."""
    steps_per_epoch = len(parts.train) // config.batch_size
    if not steps_per_epoch:
        raise UserError(
            f"config.batch_size is {config.batch_size}, and the training set has only "
            f"{counted(len(parts.train), 'image')}; give a batch of at most that."
        )
    if config.epochs * steps_per_epoch > _MOST_STEPS:
        raise UserError(
            f"config.epochs is {config.epochs}, which makes {config.epochs * steps_per_epoch:,} "
            f"steps; give at most {counted(_MOST_STEPS // steps_per_epoch, 'epoch')}."
        )
    if config.optimizer.grad_accum_steps > (batches := config.epochs * steps_per_epoch):
        raise UserError(
            f"config.optimizer.grad_accum_steps is {config.optimizer.grad_accum_steps}, and the "
            f"run has {counted(batches, 'batch', 'batches')}, too few for one step; "
            "give at most that."
        )
    if config.schedule.name == "plateau" and not len(parts.validation):
        raise UserError(
            "config.schedule.name is 'plateau', which needs the error on validation images, and "
            "config.data.val_fraction is 0; give a share above 0."
        )
    return steps_per_epoch


def make_partitioner(config: ConfigDict) -> Partitioner:
    """Returns which devices have what, as the configuration says it.

    Raises:
      UserError: there are not such devices, or the batch or the network cannot be divided so.
    """
    asked, batch_size = config.mesh, config.batch_size
    try:
        mesh = make_mesh(data=asked.data or None, column=asked.column)
        model = create_model(mesh=mesh, **config.model.to_dict())
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"config.mesh: {error}") from error
    if multihost.process_count() > 1 and mesh.size < jax.device_count():
        raise UserError(
            f"config.mesh has {mesh.size} of the {jax.device_count()} devices of "
            f"{multihost.process_count()} processes, and each must take part; "
            "give --config.mesh.data=0 for all."
        )
    devices = mesh.shape[DATA]
    if batch_size % devices:
        fewer = f"--config.mesh.data={math.gcd(batch_size, devices)} or "
        raise UserError(
            f"config.batch_size is {batch_size}, which cannot be divided among {devices} devices; "
            f"give {'' if multihost.process_count() > 1 else fewer}"
            f"--config.batch_size={-(-batch_size // devices) * devices}."
        )
    return Partitioner(mesh, asked.fsdp, getattr(model, "column_layers", ()))


def _check_layers(
    config: ConfigDict, is_begun: bool
) -> tuple[frozenset[Layer], SourceModel | None]:
    """Returns the layers that are frozen, and the network that this one begins with.

    Whatever the images are and the classes, the layers have the same names: what is wrong with
    those is found before any image is read.
    """
    if not (config.freeze or config.init_from):
        return frozenset(), None
    options = config.model.to_dict()
    model, name = create_model(**options), options.pop("name")
    images = jax.ShapeDtypeStruct((1, *find_variant(name).image_shape), "float32")
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    frozen, other = frozen_layers(config.freeze, shapes["params"]), None
    if config.init_from and not is_begun:
        other = load_source(config.init_from, config.init_pattern, name, options)
        check_layers(other, shapes)
    return frozen, other


def _notes(
    config: ConfigDict,
    metadata: ModelMetadata,
    start: InitialWeights | None,
    frozen: frozenset[Layer],
    params: Mapping[str, Any],
) -> list[str]:
    notes = []
    if start:
        notes.append(start.describe(metadata.name))
        notes += filter(None, [start.source.note])
    if start and config.init_preprocessing:
        mean, std = list(metadata.preprocessing.mean), list(metadata.preprocessing.std)
        notes.append(
            f"the images are normalized as for it, less {mean}, over {std}, in place of "
            "config.data (config.init_preprocessing=False for that)"
        )
    if frozen:
        kept = sum(x.size for x in jax.tree.leaves(trainable_params(params, frozen)))
        notes.append(f"{len(frozen):,} layers are frozen; {kept:,} parameters are trained")
    return notes


def _make_recipe(
    config: ConfigDict, model: nn.Module, frozen: frozenset[Layer], steps_per_epoch: int
) -> TrainSpec:
    loss = make_loss(config.loss.name, config.loss.map_j)
    curvature: Curvature | None = None
    if config.optimizer.name == "levenberg_marquardt":
        if not isinstance(model, LeNet5) or model.trainable_codes:
            raise UserError(
                "config.optimizer.name is 'levenberg_marquardt', which is for lenet5 with fixed "
                "codes; choose sgd."
            )
        curvature = make_curvature(model, loss)
    return TrainSpec(
        loss,
        make_optimizer(config.optimizer),
        make_schedule(config.schedule, config.epochs, steps_per_epoch),
        make_plateau(config.schedule),
        steps_per_epoch,
        auxiliary=config.loss.aux_weight,
        average=config.optimizer.ema_decay,
        curvature=curvature,
        frozen=frozen,
    )


def _describe(config: ConfigDict, train: Dataset, reading: DecodeConfig | None) -> ModelMetadata:
    options = config.model.to_dict()
    return ModelMetadata(
        name=options.pop("name"),
        options=options,
        class_names=train.class_names,
        image_shape=train.image_shape,
        preprocessing=make_preprocessing(config, train),
        metrics={},
        crop=reading.crop if reading else None,
    )


def _make_model(
    metadata: ModelMetadata, placement: Partitioner
) -> tuple[nn.Module, Mapping[str, Any]]:
    """Returns the network and its variables' shapes, for the images as it will see them."""
    model = metadata.create_model(placement.mesh)
    images = jax.ShapeDtypeStruct((1, *metadata.image_shape), "uint8")
    try:
        shapes = jax.eval_shape(
            lambda x: model.init(jax.random.key(0), metadata.preprocessing(x)), images
        )
    except ValueError as error:
        raise UserError(
            f"{metadata.name} cannot take the data set: {error} config."
            f"{'crop.size' if metadata.crop else 'data.resize'}=N makes images NxN."
        ) from error
    return model, shapes
