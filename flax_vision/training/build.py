"""Construction of an experiment from its configuration: data, model and training functions."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from flax_vision.data.background import measure_background
from flax_vision.data.batches import Batch, batch_shapes, sample_batch, training_batches
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.splits import Splits
from flax_vision.errors import UserError
from flax_vision.text import counted
from flax_vision.training import data_pipeline, partitioning, state, step
from flax_vision.training.fine_tuning import FineTuning
from flax_vision.weights.saved_model import ModelMetadata

_MAX_STEPS = 2**31 - 1
"""Largest number of steps in int32."""


@dataclass(frozen=True)
class Experiment:
    """Data, model and functions of a run, which do not change during it.

    Attributes:
      config: Checked configuration.
      splits: Training, validation and test images.
      metadata: Description of the model for its export.
      functions: Functions that train and evaluate.
      steps_per_epoch: Number of whole batches in the training set.
      init_variables: Initial weights from another model; None for a run that must have a
        checkpoint.
      notes: Lines about unused files, copied weights, frozen layers and slow data types.
    """

    config: ConfigDict
    splits: Splits
    metadata: ModelMetadata
    functions: step.TrainFunctions
    steps_per_epoch: int
    init_variables: Mapping[str, Any] | None
    notes: Sequence[str] = ()

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    def train_batches(self, epoch: int, start: int = 0, steps_per_call: int = 1) -> Iterator[Batch]:
        """Yields the batches of an epoch on the devices.

        Args:
          epoch: Number of the epoch, from 0.
          start: Number of batches of this epoch that are skipped.
          steps_per_call: Number of batches that are stacked; see `training_batches`.
        """
        config, partitioner = self.config, self.functions.partitioner
        batches = training_batches(
            self.splits.train,
            config.batch_size,
            config.seed,
            epoch,
            start,
            config.data.reshuffle,
            steps_per_call,
            partitioner.local_rows(config.batch_size),
            config.data.sampler,
        )
        return map(partitioner.shard_batch, batches)

    def curvature_batch(self, epoch: int) -> Batch:
        """Returns the images that estimate levenberg_marquardt's curvature before an epoch."""
        config = self.config
        size = config.optimizer.curvature_samples
        batch = sample_batch(self.splits.train, size, config.seed, epoch, config.data.sampler)
        return self.functions.partitioner.replicate(batch)

    def summary(self) -> str:
        """Returns a line about the model and the data."""
        parameters = sum(leaf.size for leaf in jax.tree.leaves(self.functions.state.params))
        splits = self.splits
        return (
            f"{self.metadata.name}: {parameters:,} parameters; {self.config.data.name}: "
            f"{len(splits.train):,} training, {len(splits.validation):,} validation, "
            f"{counted(len(splits.test), 'test image')}; "
            f"{counted(self.steps_per_epoch, 'step')} an epoch"
        )


def build_experiment(
    config: ConfigDict,
    on_progress: ProgressFn,
    check_dataset: Callable[[Splits], None] = lambda splits: None,
    saved: ModelMetadata | None = None,
    was_stratified: bool | None = None,
) -> Experiment:
    """Reads the data and builds the model and its functions, without compiling them.

    Args:
      config: Checked configuration.
      on_progress: Function that gets a text, the images read so far and their number.
      check_dataset: Function that raises a UserError for other images than those of the run.
      saved: Description of a resumed run's model. Its background is not measured again. With
        `config.init_from` its preprocessing is used too.
      was_stratified: Whether the splits of a resumed run are stratified; None for a new run.

    Raises:
      UserError: The data cannot be read, or do not fit the configuration or the model.
    """
    partitioner = partitioning.make_partitioner(config)
    fine_tuning = FineTuning(config, saved)
    splits = data_pipeline.load_data(config, on_progress, was_stratified)
    check_dataset(splits)
    steps_per_epoch = _count_steps(config, splits)
    metadata = _describe_model(config, splits.train)
    model, shapes = _make_model(metadata, partitioner)
    spec = state.make_train_spec(config, model, fine_tuning.frozen, steps_per_epoch, splits.train)
    fine_tuning.match(shapes, len(metadata.class_names))
    fine_tuning.check_precise_bn(model, metadata)
    given = metadata.preprocessing
    # Mistakes in the configuration are found before the passes over the images, which take long.
    preprocessing = fine_tuning.preprocessing(given) or data_pipeline.with_training_mean(
        given, config.data.subtract_mean, splits.train, on_progress
    )
    augmentation = data_pipeline.make_augmentation(
        config.augmentation, splits.train, preprocessing, on_progress
    )
    background = (saved and saved.background) or measure_background(splits.train, on_progress)
    metadata = dataclasses.replace(metadata, preprocessing=preprocessing, background=background)
    functions = step.TrainFunctions(
        model,
        dataclasses.replace(spec, augmentation=augmentation),
        preprocessing,
        batch_shapes(splits.train.image_shape, config.batch_size),
        partitioner,
    )
    notes = _notes(config, splits, fine_tuning.notes(metadata, shapes["params"]))
    variables = fine_tuning.init_variables
    return Experiment(config, splits, metadata, functions, steps_per_epoch, variables, notes)


def _notes(config: ConfigDict, splits: Splits, fine_tuning: Sequence[str]) -> list[str]:
    """Returns the lines about the data, the fine-tuning and slow data types."""
    notes = [*splits.warnings(), *fine_tuning]
    dtype = config.model.get("dtype", "float32")  # a custom model may have none
    if dtype != "float32" and jax.default_backend() == "cpu":
        notes.append(f"config.model.dtype={dtype} is for GPUs and TPUs; on a CPU float32 is faster")
    return notes


def _count_steps(config: ConfigDict, splits: Splits) -> int:
    """Returns the whole batches in the training set; raises a UserError if they do not suffice."""
    steps_per_epoch = len(splits.train) // config.batch_size
    total = config.epochs * steps_per_epoch
    if not steps_per_epoch:
        raise UserError(
            f"config.batch_size is {config.batch_size}, and the training set has only "
            f"{counted(len(splits.train), 'image')}; give a batch of at most that."
        )
    if total > _MAX_STEPS:
        raise UserError(
            f"config.epochs is {config.epochs}, which makes {total:,} steps; give at most "
            f"{counted(_MAX_STEPS // steps_per_epoch, 'epoch')}."
        )
    if config.optimizer.grad_accum_steps > total:
        raise UserError(
            f"config.optimizer.grad_accum_steps is {config.optimizer.grad_accum_steps}, and the "
            f"run has {counted(total, 'batch', 'batches')}, too few for one step; "
            "give at most that."
        )
    data_pipeline.check_validation(config, splits)
    return steps_per_epoch


def _describe_model(config: ConfigDict, train: Dataset) -> ModelMetadata:
    options = config.model.to_dict()
    decode_config = data_pipeline.make_decode_config(config)
    return ModelMetadata(
        name=options.pop("name"),
        options=options,
        class_names=train.class_names,
        image_shape=train.image_shape,
        preprocessing=data_pipeline.make_preprocessing(config, train),
        metrics={},
        crop=decode_config.crop if decode_config else None,
    )


def _make_model(
    metadata: ModelMetadata, partitioner: partitioning.Partitioner
) -> tuple[nn.Module, Mapping[str, Any]]:
    """Returns the model and its variables' shapes for preprocessed images."""
    model = metadata.create_model(partitioner.mesh)
    images = jax.ShapeDtypeStruct((1, *metadata.image_shape), "uint8")
    try:
        logits, shapes = jax.eval_shape(
            lambda x: model.init_with_output(jax.random.key(0), metadata.preprocessing(x)), images
        )
    except ValueError as error:
        raise UserError(
            f"{metadata.name} cannot take the dataset: {error} config."
            f"{'crop.size' if metadata.crop else 'data.resize'}=N makes images NxN."
        ) from error
    expected = (1, len(metadata.class_names))
    if getattr(logits, "shape", None) != expected:
        shape = jax.tree.map(lambda x: x.shape, logits)
        raise UserError(
            f"{metadata.name} returns {shape} for one image; its logits must have the shape "
            f"{expected}."
        )
    return model, shapes
