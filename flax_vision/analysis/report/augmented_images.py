"""Builds the section of a report with augmented training images."""

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
"""Largest number of training images in a run with this section."""


def augmented_images(run: TrainedRun, on_progress: ProgressFn) -> Section | None:
    """Returns the first training images as the model sees them; None without augmentation.

    It is also None for a large training set, or if the training images cannot be read.

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
    text = "Each row shows six augmentations of a training image. The random numbers differ from "
    text += "those in the run, and the color noise (pca_noise) is left out."
    alternative = f"{len(images)} training images, each augmented six times."
    drawn = figure("augmented", partial(augmented, forms), alternative)
    return Section("Augmented images", text, [drawn])


def _augmentation(options: Mapping[str, Any]) -> Augmentation:
    """Returns the augmentation of a configuration without its color noise."""
    names = {field.name for field in dataclasses.fields(Augmentation)} - {"pca_noise"}
    return Augmentation(**{name: options[name] for name in names & options.keys()})
