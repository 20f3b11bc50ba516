"""Images that a network is surest of, and wrong about."""

from collections.abc import Sequence

import numpy as np

from flax_vision.report.drawing import LIGHT, WIDTH, Picture, Sheet, Theme, label

_COLUMNS = 3
_GAP = 0.12
"""Inches between two images."""
_LINES = 0.9
"""Inches for what stands above an image."""


def most_confident(
    labels: np.ndarray, taken_for: np.ndarray, confidence: np.ndarray, most: int = 12
) -> np.ndarray:
    """Returns where the mistakes are that a network was surest of, the surest first.

    Args:
      labels: int [N], the classes of images.
      taken_for: int [N], what they were taken for; -1 for an image that could not be read.
      confidence: float [N], the posterior of that, 0 to 1.
      most: mistakes at the most.

    Returns:
      int [at most `most`].
    """
    wrong = np.flatnonzero((labels != taken_for) & (taken_for >= 0))
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:most]


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    taken_for: np.ndarray,
    confidence: np.ndarray,
    class_names: Sequence[str],
    theme: Theme = LIGHT,
) -> Picture:
    """Returns the picture of images with their class and what they were taken for.

    Args:
      images: uint8 [N, H, W, C], N at least 1.
      labels: int [N], their classes.
      taken_for: int [N], the classes that a network gave them.
      confidence: float [N], the posteriors of these, 0 to 1.
      class_names: of all classes.
      theme: its colours.
    """
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    cell = WIDTH / _COLUMNS
    width = cell - _GAP
    height = width * images.shape[1] / images.shape[2]
    sheet = Sheet(columns * cell, rows * (height + _LINES), theme)
    for place, image in enumerate(images):
        left, top = place % columns * cell + _GAP / 2, place // columns * (height + _LINES)
        taken, true = (label(class_names[of[place]], 16) for of in (taken_for, labels))
        sheet.write(taken, left, top + 0.08, fontsize=12.5, color=theme.second, fontweight="bold")
        sheet.write(f"is {true}", left, top + 0.3, fontsize=12.5)
        sure = f"{confidence[place]:.0%} sure"
        sheet.write(sure, left, top + 0.52, fontsize=11, color=theme.faint)
        sheet.put(image, left, top + 0.76, width, height, vmin=0, vmax=255)
    return sheet
