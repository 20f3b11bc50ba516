"""Batch normalization of a saved model with the statistics of its training images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.data.batches import epoch_order
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.errors import UserError
from flax_vision.evaluation import run_data
from flax_vision.evaluation.batch_statistics import (
    batch_norm_layers,
    batch_statistics_only,
    population_statistics,
)
from flax_vision.evaluation.run_data import DataOptions
from flax_vision.models.layer_paths import LayerPath, frozen_collection, matches_layer
from flax_vision.weights.model_metadata import ModelMetadata
from flax_vision.weights.saved_model import LoadedModel

_BATCH_SIZE = 128
"""Images in a batch, for a model without the configuration of its training."""


def updated_layers(path: Path, metadata: ModelMetadata) -> frozenset[LayerPath]:
    """Returns the batch normalization layers that the training of a saved model did not freeze.

    Args:
      path: Export or run directory of the model.
      metadata: Description of the model.
    """
    pattern = run_data.run_config(path).get("freeze", "")
    layers = batch_norm_layers(metadata.create_model(), metadata.input_shape)
    return frozenset(layer for layer in layers if not matches_layer(pattern, layer))


def check_samples(samples: int, path: Path, metadata: ModelMetadata) -> None:
    """Raises a UserError if precise statistics are impossible.

    Args:
      samples: Number of images; 0 for no precise statistics.
      path: Export or run directory of the model.
      metadata: Description of the model.
    """
    if samples < 0:
        raise UserError(f"precise_bn_samples is {samples}; give a number of images, or 0 for none.")
    if samples and not updated_layers(path, metadata):
        raise UserError(
            f"{str(path)!r} ({metadata.name}) has no batch normalization, or only frozen layers of "
            "it; leave out --precise-bn-samples."
        )


def with_precise_statistics(
    path: Path,
    loaded: LoadedModel,
    samples: int,
    on_progress: ProgressFn,
    **options: Unpack[DataOptions],
) -> LoadedModel:
    """Returns a model whose batch normalization has the statistics of training images.

    The images are cropped and preprocessed as in a test, without augmentation. The batches have the
    run's training batch size, and contain the first images of its first epoch.

    Args:
      path: Export or run directory of the model.
      loaded: The model.
      samples: Number of images, rounded up to whole batches and limited to the training set; 0 for
        no change.
      on_progress: Function that gets a text, the images done and their number.
      **options: Other images than the run's, as in `DataOptions`.

    Raises:
      UserError: The training images cannot be loaded, or do not fit the model.
    """
    layers = updated_layers(path, loaded.metadata) if samples else frozenset()
    if not layers:
        return loaded
    _, images = run_data.load_images(path, loaded.metadata, "train", on_progress, **options)
    config = run_data.run_config(path)
    size = min(config.get("batch_size", _BATCH_SIZE), len(images))
    count = min(-(-samples // size), len(images) // size)
    order = epoch_order(len(images), config.get("seed", 0), 0)
    groups = order[: count * size].reshape(count, size)
    batches = _statistics(loaded, images, groups, on_progress, layers)
    statistics = population_statistics(loaded.variables["batch_stats"], batches, layers)
    variables = {**loaded.variables, "batch_stats": jax.device_put(statistics)}
    return loaded._replace(variables=variables)


def _statistics(
    loaded: LoadedModel,
    images: Dataset,
    index_groups: np.ndarray,
    on_progress: ProgressFn,
    layers: frozenset[LayerPath],
) -> Iterator[Any]:
    """Yields the statistics of each batch of training images."""
    metadata, model, variables, _ = loaded
    every = batch_norm_layers(model, metadata.input_shape)
    frozen = {"frozen": frozen_collection(every - layers)} if every - layers else {}

    @jax.jit
    def step(variables: Any, pixels: jax.Array, key: jax.Array) -> Any:
        with batch_statistics_only():
            _, updated = model.apply(
                {**variables, **frozen},
                metadata.preprocessing(pixels),
                train=True,
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
        return updated["batch_stats"]

    batches = images.batches(list(index_groups), None)
    # Another image of the batch replaces each unreadable one.
    for number, (pixels, _) in enumerate(batches):
        on_progress("computing batch statistics", number * len(pixels), index_groups.size)
        key = jax.random.fold_in(jax.random.key(0), jnp.int32(number))
        yield step(variables, pixels, key)
