"""Builds the section of a run's report with augmented training images."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from flax_vision.analysis.report.figures.augmented import augment, augmented
from flax_vision.analysis.report.html import Section, figure
from flax_vision.analysis.report.trained_run import TrainedRun
from flax_vision.data.augmentation import Augmentation
from flax_vision.data.dataset import ProgressFn
from flax_vision.errors import UserError
from flax_vision.evaluation.run_data import load_images

_SHOWN = 4
"""Number of images."""
_MAX_IMAGES = 100_000
"""Largest training set whose images are read again for the report."""


def augmented_images(run: TrainedRun, on_progress: ProgressFn) -> Section | None:
    """Returns the first training images as the model sees them; None without augmentation.

    It is None for large training sets, and for training images that cannot be read.

    Args:
      run: The run.
      on_progress: Function of a text, the number of finished images and the number of all images.
    """
    augmentation = _augmentation(run.config.get("augmentation", {}))
    count = run.image_counts.get("train", 0)
    if augmentation == Augmentation() or not _SHOWN <= count <= _MAX_IMAGES:
        return None
    metadata, seed = run.loaded.metadata, run.config.get("seed", 0)
    try:
        _, train = load_images(run.path, metadata, "train", on_progress)
        ((images, _),) = train.batches([np.arange(min(_SHOWN, len(train)))], (seed, 0))
    except UserError:
        return None
    forms = augment(np.asarray(images), augmentation, metadata.preprocessing, seed)
    text = "Each row is a training image in six epochs, with other random numbers than in the run. "
    text += "Random noise of the colors (pca_noise) is left out."
    alternative = f"{len(images)} training images, each augmented six times."
    drawn = figure("augmented", partial(augmented, forms), alternative)
    return Section("Augmented images", text, [drawn])


def _augmentation(options: Mapping[str, Any]) -> Augmentation:
    """Returns the augmentation of a configuration without its noise of the colors."""
    names = {field.name for field in dataclasses.fields(Augmentation)} - {"pca_noise"}
    return Augmentation(**{name: options[name] for name in names & options.keys()})
