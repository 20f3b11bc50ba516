"""Draws the most confident mistakes of a model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Sheet, Theme, label

_COLUMNS = 3
_GAP = 0.12
"""Gap between two images in inches."""
_LINES = 0.9
"""Height of the text above an image in inches."""
_FILE_LINE = 0.22
"""Height of a line for the file name in inches."""


def most_confident(
    labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, count: int = 12
) -> np.ndarray:
    """Returns the indices of the most confident mistakes, the most confident first.

    Args:
      labels: True classes of the images, int [N].
      predicted: Predicted classes, int [N]; -1 for an unreadable image.
      confidence: Probabilities of the predicted classes, float [N].
      count: Largest number of mistakes.
    """
    wrong = np.flatnonzero((labels != predicted) & (predicted >= 0))
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:count]


def confidence_text(confidence: float) -> str:
    """Returns a probability in percent; values near 1 are never rounded to 100%."""
    return ">99.99%" if confidence > 0.9999 else f"{confidence:.2%}"


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    confidence: np.ndarray,
    class_names: Sequence[str],
    theme: Theme = LIGHT,
    file_names: Sequence[str] = (),
) -> Picture:
    """Draws images with their predicted and true classes.

    Args:
      images: One or more images, uint8 [N, H, W, C].
      labels: True classes, int [N].
      predicted: Predicted classes, int [N].
      confidence: Probabilities of the predicted classes, float [N].
      class_names: Names of all classes.
      theme: Colors.
      file_names: Names of the images' files; empty for images in memory.
    """
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    cell = WIDTH / _COLUMNS
    width = cell - _GAP
    height = width * images.shape[1] / images.shape[2]
    lines = _LINES + (_FILE_LINE if file_names else 0)
    sheet = Sheet(columns * cell, rows * (height + lines), theme)
    for index, image in enumerate(images):
        left, top = index % columns * cell + _GAP / 2, index // columns * (height + lines)
        guess, true = (label(class_names[classes[index]], 12) for classes in (predicted, labels))
        sheet.write(f"predicted {guess}", left, top + 0.08, fontsize=11, color=theme.second)
        sheet.write(f"is {true}", left, top + 0.3, fontsize=11)
        sure = f"{confidence_text(confidence[index])} sure"
        sheet.write(sure, left, top + 0.52, fontsize=11, color=theme.faint)
        if file_names:
            name = label(Path(file_names[index]).name)
            sheet.write(name, left, top + 0.74, fontsize=10, color=theme.faint)
        sheet.put(image, left, top + lines - 0.14, (width, height), vmin=0, vmax=255)
    return sheet
