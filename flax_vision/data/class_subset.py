"""Datasets of some of their classes, chosen by name."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from flax_vision.data.dataset import Dataset, DatasetT
from flax_vision.errors import UserError
from flax_vision.text import listed, nfc

_MAX_NAMED = 20
"""Number of classes that a message names."""


def check_classes(classes: Sequence[str], valid: Sequence[str]) -> None:
    """Raises a UserError for a class name that is not valid; it offers the nearest one.

    Args:
      classes: Chosen classes.
      valid: All classes of the dataset. Names are compared in Unicode's form NFC.
    """
    known = {nfc(name) for name in valid}
    for name in classes:
        if nfc(name) not in known:
            nearest = difflib.get_close_matches(nfc(name), known, 1, 0.5)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
            raise UserError(
                f"config.data.classes has {name!r}, which is not a class of the dataset{hint} "
                f"Valid: {listed(valid, _MAX_NAMED)}."
            )


def select_classes(dataset: DatasetT, classes: Sequence[str]) -> DatasetT:
    """Returns the images of some classes, in the order of `dataset`.

    Args:
      dataset: Labeled images.
      classes: Names of the classes, in the order of their new labels; empty for all classes.

    Raises:
      UserError: The dataset has no class of such a name.
    """
    if not classes:
        return dataset
    check_classes(classes, dataset.class_names)
    new_labels = {nfc(name): label for label, name in enumerate(classes)}
    # The last entry is for the label -1 of images without a class.
    table = np.array([*(new_labels.get(nfc(name), -1) for name in dataset.class_names), -1])
    labels = table[dataset.labels].astype(np.int32)
    is_selected = labels >= 0
    taken = dataset.take(np.flatnonzero(is_selected))
    return dataclasses.replace(  # type: ignore[type-var]
        taken, labels=labels[is_selected], class_names=list(classes)
    )


def loaders_of_classes(
    loaders: Mapping[str, Callable[[], Dataset]], classes: Sequence[str]
) -> Mapping[str, Callable[[], Dataset]]:
    """Returns functions that load only the images of some classes, as in `select_classes`."""
    return {split: partial(_load, load, classes) for split, load in loaders.items()}


def _load(load: Callable[[], Dataset], classes: Sequence[str]) -> Dataset:
    return select_classes(load(), classes)
