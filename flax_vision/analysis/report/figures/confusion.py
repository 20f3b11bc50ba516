"""Draws the confusion matrix."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, label, style
from flax_vision.errors import UserError

_MAX_COUNTED = 20
"""Largest number of classes with printed counts."""
_MAX_NAMED = 40
"""Largest number of classes with printed names."""
_MAX_ROWS = 125
"""Largest number of rows; further classes share rows with their neighbors."""


def confusion(matrix: np.ndarray, class_names: Sequence[str], theme: Theme = LIGHT) -> Picture:
    """Draws a confusion matrix: correct predictions in one color, mistakes in another.

    The color shows the share of a row, the images of a true class: rare classes are as visible as
    frequent ones. With many classes each cell is the mean of neighbors. The diagonal counts only as
    correct.

    Args:
      matrix: Number of images by true class (rows) and predicted class, int [classes, classes]; see
        `evaluation.confusion.confusion_matrix`.
      class_names: Names of the classes.
      theme: Colors.

    Raises:
      UserError: The matrix does not fit the classes.
    """
    classes = len(class_names)
    if matrix.shape != (classes, classes):
        raise UserError(
            f"the confusion matrix is {'x'.join(map(str, matrix.shape))}; for {classes:,} classes "
            f"give one of {classes}x{classes}."
        )
    picture = Picture(WIDTH, WIDTH, theme)
    axes = picture.add_subplot()
    style(axes, theme)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right = np.diag(np.diag(shares))
    width = -(-classes // _MAX_ROWS)
    _color(axes, _pooled(shares - right, width), width, theme.second, theme)
    _color(axes, _pooled(right, width) * width, width, theme.first, theme)
    axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5))
    axes.set_xlabel("predicted class", fontsize=13)
    axes.set_ylabel("true class", fontsize=13)
    if classes <= _MAX_NAMED:
        _name(axes, class_names)
    if classes <= _MAX_COUNTED:
        _count(axes, matrix, shares, theme)
    return picture


def _pooled(shares: np.ndarray, width: int) -> np.ndarray:
    """Returns the means of width x width cells; cells beyond the edge do not count."""
    edge = -len(shares) % width
    padded = np.pad(shares, ((0, edge), (0, edge)))
    blocks = len(padded) // width
    sums = padded.reshape(blocks, width, blocks, width).sum(axis=(1, 3))
    sizes = np.minimum(width, len(shares) - width * np.arange(blocks))
    return sums / np.outer(sizes, sizes)


def _color(axes: Any, shares: np.ndarray, width: int, color: str, theme: Theme) -> None:
    """Colors the cells that are not 0, by a scale that shows small shares."""
    scale = LinearSegmentedColormap.from_list("", [theme.paper, color])
    nonzero = np.ma.masked_equal(shares, 0)
    edge = len(shares) * width - 0.5
    norm = PowerNorm(0.5, 0, max(shares.max(), 1e-9))
    axes.imshow(nonzero, scale, norm, interpolation="nearest", extent=(-0.5, edge, edge, -0.5))


def _name(axes: Any, class_names: Sequence[str]) -> None:
    names = [label(name, 18) for name in class_names]
    size = 12 if len(names) <= 12 else 10 if len(names) <= _MAX_COUNTED else 6.5
    ticks = range(len(names))
    upright = max(map(len, names)) <= 2
    axes.set_xticks(ticks, names, rotation=0 if upright else 90, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)
    axes.tick_params(length=0)


def _count(axes: Any, matrix: np.ndarray, shares: np.ndarray, theme: Theme) -> None:
    size = 13 if len(matrix) <= 12 else 8
    strongest = (shares - np.diag(np.diag(shares))).max()
    for row, column in zip(*np.nonzero(matrix), strict=True):
        strength = shares[row, column] / (1 if row == column else strongest)
        ink = theme.paper if strength > 0.5 else theme.ink
        count = f"{matrix[row, column]:,}"
        axes.text(column, row, count, ha="center", va="center", color=ink, fontsize=size)
