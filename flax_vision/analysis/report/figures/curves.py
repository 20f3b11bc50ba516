"""Draws loss, accuracy and learning rate by epoch."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, style
from flax_vision.weights.run_files import Records

SPLITS = {"train": "training", "validation": "validation"}
"""Splits with curves, by their name in the records, with their name in the figure."""

_WIDE_RANGE = 50
"""Ratio of the largest to the smallest loss above which the axis is logarithmic."""


def loss(records: Records, theme: Theme = LIGHT) -> Picture:
    """Draws the training and validation loss by epoch.

    Args:
      records: Records of a run.
      theme: Colors.
    """
    picture = _curves(records, "loss", "loss", theme)
    values = [value for split in SPLITS for value in series(records, f"{split}/loss")[1]]
    if values and 0 < _WIDE_RANGE * min(values) < max(values) < math.inf:
        picture.axes[0].set_yscale("log")
    return picture


def accuracy(records: Records, theme: Theme = LIGHT) -> Picture:
    """Draws the training and validation accuracy, top-1, by epoch.

    Args:
      records: Records of a run.
      theme: Colors.
    """
    picture = _curves(records, "top1", "top-1 accuracy", theme)
    picture.axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    return picture


def learning_rate(records: Records, theme: Theme = LIGHT) -> Picture:
    """Draws the learning rate at the end of each epoch.

    The axis of a piecewise constant rate is logarithmic.

    Args:
      records: Records of a run.
      theme: Colors.
    """
    epochs, rates = series(records, "learning_rate")
    picture, axes = _by_epoch(records, theme, "learning rate")
    _line(axes, epochs, rates, theme.first, "")
    if 1 < len(set(rates)) <= len(rates) / 2:
        axes.set_yscale("log")
    if len(set(rates)) == 1:  # matplotlib would show tiny differences
        axes.set_ylim(0, 2 * rates[0] or 1)
    return picture


def series(records: Records, name: str) -> tuple[list[int], list[float]]:
    """Returns the epochs with a value `name`, and the values."""
    pairs = [(record["epoch"], record[name]) for record in records if {"epoch", name} <= {*record}]
    return [epoch for epoch, _ in pairs], [value for _, value in pairs]


def _curves(records: Records, name: str, heading: str, theme: Theme) -> Picture:
    picture, axes = _by_epoch(records, theme, heading)
    for (split, title), color in zip(SPLITS.items(), (theme.second, theme.first), strict=True):
        epochs, values = series(records, f"{split}/{name}")
        if epochs:
            _line(axes, epochs, values, color, title)
    best = next((record["best_epoch"] for record in records if "best_epoch" in record), None)
    if best is not None:
        axes.axvline(best, color=theme.faint, lw=1, ls=":", label="best epoch", zorder=1)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=theme.ink, fontsize=12)
    return picture


def _by_epoch(records: Records, theme: Theme, title: str) -> tuple[Picture, Any]:
    picture = Picture(0.8 * WIDTH, 0.56 * WIDTH, theme)
    axes = picture.add_subplot()
    style(axes, theme)
    axes.grid(color=theme.grid, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("epoch", fontsize=12)
    axes.set_title(title, loc="left", color=theme.ink, fontsize=13, fontweight="bold")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    epochs = [record["epoch"] for record in records if "epoch" in record]
    if len(epochs) == 1:  # matplotlib would show hundredths
        axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
    return picture, axes


def _line(axes: Any, epochs: Sequence[int], values: Any, color: str, name: str) -> None:
    marker = "o" if len(epochs) <= 25 else ""
    axes.plot(epochs, values, color=color, lw=2, marker=marker, ms=4, label=name)
