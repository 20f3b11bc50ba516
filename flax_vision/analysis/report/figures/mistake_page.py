"""Draws all mistakes of a model on a page, as in figure 8 of LeCun et al. 1998."""

from collections.abc import Sequence

import numpy as np

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Sheet, Theme, label
from flax_vision.errors import UserError

_GAP = 0.08
"""Gap between two images in inches."""
_LINE = 0.2
"""Height of the text below an image in inches."""


def mistake_page(
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    class_names: Sequence[str],
    columns: int = 10,
    theme: Theme = LIGHT,
) -> Sheet:
    """Draws all images that are predicted incorrectly, with "true -> predicted" below each.

    Args:
      images: Images of the test set, uint8 [N, H, W, C].
      labels: True classes, int [N].
      predicted: Predicted classes, int [N]; -1 for an unreadable image.
      class_names: Names of the classes.
      columns: Number of images in a row.
      theme: Colors.

    Raises:
      UserError: No image is predicted incorrectly, or there is no column.
    """
    wrong = np.flatnonzero((labels != predicted) & (predicted >= 0))
    if not len(wrong):
        raise UserError("no image is predicted incorrectly; there is nothing to draw.")
    if columns < 1:
        raise UserError(f"columns is {columns}; give a number of at least 1.")
    cell = WIDTH / columns
    width = cell - _GAP
    height = width * images.shape[1] / images.shape[2]
    rows = -(-len(wrong) // columns)
    sheet = Sheet(WIDTH, rows * (height + _LINE + _GAP), theme)
    for position, index in enumerate(wrong):
        row, column = divmod(position, columns)
        left, top = column * cell + _GAP / 2, row * (height + _LINE + _GAP) + _GAP / 2
        sheet.put(images[index], left, top, (width, height), vmin=0, vmax=255)
        true, guess = (label(class_names[classes[index]], 8) for classes in (labels, predicted))
        middle, below = left + width / 2, top + height + 0.02
        sheet.write(f"{true}→{guess}", middle, below, fontsize=8, ha="center")
    return sheet
