"""Labels of a prepared split in one file, so that no image is read for its label."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flax_vision.runtime.files import open_regular, replaced_file


def label_file(directory: Path, split: str) -> Path:
    """Returns the path of the labels of a split.

    Args:
      directory: Directory of the prepared set, which also has the shards.
      split: Name of the split.
    """
    return directory / f"flax_vision-labels-{split}.npy"


def write_labels(directory: Path, split: str, labels: Sequence[int] | np.ndarray) -> None:
    """Writes the labels of a split.

    Args:
      directory: Directory of the prepared set.
      split: Name of the split.
      labels: Labels in the order of the records, [N]; -1 for an image without a label.

    Raises:
      OSError: The file cannot be written.
    """
    with replaced_file(label_file(directory, split)) as path, path.open("wb") as file:
        np.save(file, np.asarray(labels, np.int32))


def read_labels(directory: Path, split: str, count: int) -> np.ndarray | None:
    """Returns the labels of a split.

    Args:
      directory: Directory of the prepared set.
      split: Name of the split.
      count: Number of records.

    Returns:
      Labels in the order of the records, int32 [N]. None if the file is missing, is damaged, or has
      another number of labels.
    """
    with (
        contextlib.suppress(OSError, ValueError, EOFError),
        open_regular(label_file(directory, split)) as file,
    ):
        labels: np.ndarray = np.load(file)
        if labels.shape == (count,) and labels.dtype == np.int32:
            return labels
    return None
