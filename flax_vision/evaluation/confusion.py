"""Which classes a network takes for which."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_MOST_COLUMNS = 12
"""Classes of which a person reads the whole matrix."""
_MOST_ROWS = 20


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Returns how many images of each class were taken for each, int64 [classes, classes].

    Args:
      labels: int [N], the classes of the images, which are the rows.
      predicted: int [N], what they were taken for, which are the columns.
      classes: how many there are.
    """
    pairs = labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def table_of(matrix: np.ndarray, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns rows for a person to read: the matrix, or what is most frequent in a large one.

    Args:
      matrix: see `confusion_matrix`.
      class_names: of the classes.
    """
    if len(class_names) > _MOST_COLUMNS:
        return _most_frequent(matrix, class_names)
    named = [
        name if name == str(index) else f"{index} {name}" for index, name in enumerate(class_names)
    ]
    return [
        {"class": name} | {f"as {index}": count for index, count in enumerate(counts)}
        for name, counts in zip(named, matrix.tolist(), strict=True)
    ]


def _most_frequent(matrix: np.ndarray, class_names: Sequence[str]) -> list[dict[str, Any]]:
    wrong = matrix - np.diag(np.diag(matrix))
    frequent = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_ROWS]
    places = zip(*np.unravel_index(frequent, wrong.shape), strict=True)
    return [
        {
            "class": class_names[label],
            "taken for": class_names[other],
            "images": int(wrong[label, other]),
            "of its images, %": float(100 * wrong[label, other] / matrix[label].sum()),
        }
        for label, other in places
        if wrong[label, other]
    ]
