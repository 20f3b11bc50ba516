"""The models of an ensemble, checked before the evaluation."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np

from flax_vision.data import fingerprint
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.splits import Source
from flax_vision.errors import UserError, unknown
from flax_vision.evaluation import run_data
from flax_vision.evaluation.protocols import NAMES
from flax_vision.evaluation.run_data import DataOptions
from flax_vision.runtime.files import to_path
from flax_vision.text import counted, nfc
from flax_vision.weights.loading import load_model
from flax_vision.weights.model_metadata import ModelMetadata
from flax_vision.weights.saved_model import LoadedModel


class MemberImages(NamedTuple):
    """Images of an ensemble as one of its models reads them.

    Attributes:
      path: Export or run directory of the model.
      source: Source of the images.
      images: The images.
    """

    path: Path
    source: Source
    images: Dataset


def check_paths(paths: Sequence[str | Path]) -> list[Path]:
    """Returns the paths of an ensemble's models.

    Raises:
      UserError: There is no path, or a model is given twice.
    """
    if not paths:
        raise UserError("no model is given; give export or run directories.")
    checked = [to_path(path) for path in paths]
    # A run and its export are the same model.
    counts = Counter(run_data.run_directory(path).resolve() for path in checked)
    for path in checked:
        if counts[run_data.run_directory(path).resolve()] > 1:
            raise UserError(f"the model {str(path)!r} is given twice; give each model once.")
    return checked


def check_protocols(names: Sequence[str]) -> Sequence[str]:
    """Returns the names of protocols.

    Raises:
      UserError: There is no name, a protocol does not exist, or one is given twice.
    """
    if not names:
        raise UserError(f"no protocol is given; give some of {', '.join(NAMES)}.")
    for name, count in Counter(names).items():
        if name not in NAMES:
            raise unknown("protocol", name, NAMES)
        if count > 1:
            raise UserError(f"the protocol {name!r} is given twice; give each protocol once.")
    return names


def load_members(
    paths: Sequence[Path], check: Callable[[LoadedModel], LoadedModel] = lambda loaded: loaded
) -> list[LoadedModel]:
    """Loads each model once, and checks that all have the same classes.

    Args:
      paths: Export or run directories.
      check: Function that returns the model to keep, or raises a UserError.

    Raises:
      UserError: A model is missing or damaged, or its classes differ from the first model's.
    """
    members: list[LoadedModel] = []
    for path in paths:
        members.append(check(load_model(path)))
        check_same_classes(paths[0], members[0].metadata, path, members[-1].metadata)
    return members


def check_same_classes(
    first_path: Path, first: ModelMetadata, path: Path, metadata: ModelMetadata
) -> None:
    """Raises a UserError if two models have different classes, or in a different order."""
    counts = [len(first.class_names), len(metadata.class_names)]
    if counts[0] != counts[1]:
        raise UserError(
            f"{str(first_path)!r} has {counted(counts[0], 'class', 'classes')}, and {str(path)!r} "
            f"has {counts[1]:,}; an ensemble needs models of the same classes."
        )
    pairs = zip(first.class_names, metadata.class_names, strict=True)
    for index, (ours, theirs) in enumerate(pairs):
        if nfc(ours) != nfc(theirs):
            raise UserError(
                f"class {index} is {ours!r} in {str(first_path)!r} and {theirs!r} in "
                f"{str(path)!r}; an ensemble needs models of the same classes in the same order."
            )


def load_common_images(
    paths: Sequence[Path],
    models: Sequence[LoadedModel],
    split: str,
    on_progress: ProgressFn,
    **options: Unpack[DataOptions],
) -> list[MemberImages]:
    """Loads a split for each model, and checks that all are the same images.

    Models with the same source share one set.

    Args:
      paths: Export or run directories.
      models: The models.
      split: `"train"`, `"validation"` or `"test"`.
      on_progress: Function that gets a text, the images so far and their number.
      **options: Other images than the runs', as in `DataOptions`.

    Raises:
      UserError: The images cannot be loaded, do not fit a model, or differ between models.
    """
    loaded: list[MemberImages] = []
    for path, model in zip(paths, models, strict=True):
        known = [(source, images) for _, source, images in loaded]
        found = run_data.load_images(path, model.metadata, split, on_progress, known, **options)
        loaded.append(MemberImages(path, *found))
        if known and all(images is not found[1] for _, images in known):
            _check_same_images(loaded[0], loaded[-1], split)
    return loaded


def _check_same_images(first: MemberImages, other: MemberImages, split: str) -> None:
    pairs = first.images, other.images
    changes = fingerprint.describe_changes(*map(fingerprint.dataset_fingerprint, pairs))
    if not changes and not np.array_equal(first.images.labels, other.images.labels):
        changes = "their order differs"
    if changes:
        raise UserError(
            f"the {split} images of {str(other.path)!r} are not those of {str(first.path)!r} "
            f"({changes}); give models of the same data, or --data NAME or --image-dir DIR with "
            "images for all."
        )
