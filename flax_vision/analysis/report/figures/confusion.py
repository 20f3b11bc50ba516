"""Which classes a network takes for which, as a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flax_vision.analysis.report.figures.drawing import (
    LIGHT,
    WIDTH,
    LinearSegmentedColormap,
    Picture,
    PowerNorm,
    Theme,
    label,
    style,
)
from flax_vision.errors import UserError

_COUNTED = 20
"""Classes up to which every number of images is printed."""
_NAMED = 40
"""Classes up to which each has its name."""
_CELLS = 125
"""Rows at the most; of more classes, neighbors share one."""


def confusion(matrix: np.ndarray, class_names: Sequence[str], theme: Theme = LIGHT) -> Picture:
    """Returns the picture of a confusion matrix: right in one color, wrong in another.

    The color is the share of the images of the true class, a row, so that rare classes are seen as
    well as frequent ones. Where there are many classes, each cell is the mean of several that are
    neighbors; the cells in which a class meets itself count as right only.

    Args:
      matrix: int [classes, classes], images of each true class (rows) by what they were taken for;
        see `evaluation.metrics.confusion_matrix`.
      class_names: of the classes.
      theme: its colors.

    Raises:
      UserError: the matrix is not one for these classes.
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
    width = -(-classes // _CELLS)
    _color(axes, _pooled(shares - right, width), width, theme.second, theme)
    _color(axes, _pooled(right, width) * width, width, theme.first, theme)
    axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5))
    axes.set_xlabel("taken for", fontsize=13)
    axes.set_ylabel("true class", fontsize=13)
    if classes <= _NAMED:
        _name(axes, class_names)
    if classes <= _COUNTED:
        _count(axes, matrix, shares, theme)
    return picture


def _pooled(shares: np.ndarray, width: int) -> np.ndarray:
    """Returns the means of width x width cells; what is beyond the edge does not count."""
    edge = -len(shares) % width
    padded = np.pad(shares, ((0, edge), (0, edge)))
    blocks = len(padded) // width
    sums = padded.reshape(blocks, width, blocks, width).sum(axis=(1, 3))
    sizes = np.minimum(width, len(shares) - width * np.arange(blocks))
    return sums / np.outer(sizes, sizes)


def _color(axes: Any, shares: np.ndarray, width: int, color: str, theme: Theme) -> None:
    """Colors the cells that are not 0, by a scale on which small shares are visible."""
    scale = LinearSegmentedColormap.from_list("", [theme.paper, color])
    most = max(shares.max(), 1e-9)
    seen = np.ma.masked_equal(shares, 0)
    edge = len(shares) * width - 0.5
    norm = PowerNorm(0.5, 0, most)
    axes.imshow(seen, scale, norm, interpolation="nearest", extent=(-0.5, edge, edge, -0.5))


def _name(axes: Any, class_names: Sequence[str]) -> None:
    names = [label(name, 18) for name in class_names]
    size = 12 if len(names) <= 12 else 10 if len(names) <= _COUNTED else 6.5
    places = range(len(names))
    upright = max(map(len, names)) <= 2
    axes.set_xticks(places, names, rotation=0 if upright else 90, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.tick_params(length=0)


def _count(axes: Any, matrix: np.ndarray, shares: np.ndarray, theme: Theme) -> None:
    size = 13 if len(matrix) <= 12 else 8
    strongest = (shares - np.diag(np.diag(shares))).max()
    for row, column in zip(*np.nonzero(matrix), strict=True):
        strength = shares[row, column] / (1 if row == column else strongest)
        ink = theme.paper if strength > 0.5 else theme.ink
        count = f"{matrix[row, column]:,}"
        axes.text(column, row, count, ha="center", va="center", color=ink, fontsize=size)
