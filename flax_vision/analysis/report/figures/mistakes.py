"""Images that a network is surest of, and wrong about."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flax_vision.analysis.report.figures.drawing import (
    LIGHT,
    WIDTH,
    Picture,
    Sheet,
    Theme,
    label,
)

_COLUMNS = 3
_GAP = 0.12
"""Inches between two images."""
_LINES = 0.9
"""Inches for what stands above an image."""
_FILE_LINE = 0.22
"""Height of a line for the file name, in inches."""


def most_confident(
    labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, most: int = 12
) -> np.ndarray:
    """Returns where the mistakes are that a network was surest of, the surest first.

    Args:
      labels: int [N], the classes of images.
      predicted: int [N], what they were taken for; -1 for an image that could not be read.
      confidence: float [N], the posterior of that, 0 to 1.
      most: mistakes at the most.

    Returns:
      int [at most `most`].
    """
    wrong = np.flatnonzero((labels != predicted) & (predicted >= 0))
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:most]


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
    """Returns the picture of images with their predicted and their true classes.

    Args:
      images: uint8 [N, H, W, C], N at least 1.
      labels: int [N], their classes.
      predicted: int [N], the classes that a network gave them.
      confidence: float [N], the posteriors of these, 0 to 1.
      class_names: of all classes.
      theme: its colors.
      file_names: Names of the images' files; empty for images in memory.
    """
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    cell = WIDTH / _COLUMNS
    width = cell - _GAP
    height = width * images.shape[1] / images.shape[2]
    lines = _LINES + (_FILE_LINE if file_names else 0)
    sheet = Sheet(columns * cell, rows * (height + lines), theme)
    for place, image in enumerate(images):
        left, top = place % columns * cell + _GAP / 2, place // columns * (height + lines)
        guess, true = (label(class_names[of[place]], 12) for of in (predicted, labels))
        sheet.write(f"predicted {guess}", left, top + 0.08, fontsize=11, color=theme.second)
        sheet.write(f"is {true}", left, top + 0.3, fontsize=11)
        sure = f"{confidence_text(confidence[place])} sure"
        sheet.write(sure, left, top + 0.52, fontsize=11, color=theme.faint)
        if file_names:
            name = label(Path(file_names[place]).name)
            sheet.write(name, left, top + 0.74, fontsize=10, color=theme.faint)
        sheet.put(image, left, top + lines - 0.14, width, height, vmin=0, vmax=255)
    return sheet
