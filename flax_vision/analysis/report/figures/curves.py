"""Draws loss, accuracy and learning rate by epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.ticker import MaxNLocator, PercentFormatter

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, label, style
from flax_vision.weights.run_files import Records

SPLITS = {"train": "training", "test": "test", "validation": "validation"}
"""Splits with curves, by their name in the records, with their name in the figure."""

UNFINISHED = "unfinished"
"""Word after the name of a run without a result."""

_LINES: dict[str, dict[str, Any]] = {
    "train": {"lw": 1, "ls": "--"},
    "test": {"lw": 1.5, "ls": ":"},
    "validation": {"lw": 2},
}
"""Lines of the splits in a figure of several runs."""

_LEGEND_LINE = 0.22
"""Height of a line of the legend in inches."""

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


def accuracy(records: Records | Mapping[str, Records], theme: Theme = LIGHT) -> Picture:
    """Draws the training and validation accuracy, top-1, by epoch.

    Args:
      records: Records of a run, or of several runs by their names.
      theme: Colors.
    """
    title = "top-1 accuracy"
    if isinstance(records, Mapping):
        picture = _curves_of_runs(records, "top1", title, theme)
    else:
        picture = _curves(records, "top1", title, theme)
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
    colors = theme.second, theme.ink, theme.first
    for (split, title), color in zip(SPLITS.items(), colors, strict=True):
        epochs, values = series(records, f"{split}/{name}")
        if epochs:
            _line(axes, epochs, values, color, title)
    best = next((record["best_epoch"] for record in records if "best_epoch" in record), None)
    if best is not None:
        axes.axvline(best, color=theme.faint, lw=1, ls=":", label="best epoch", zorder=1)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=theme.ink, fontsize=12)
    return picture


def _curves_of_runs(runs: Mapping[str, Records], name: str, heading: str, theme: Theme) -> Picture:
    """Draws the curves of each run in its color."""
    records_of_all = [x for records in runs.values() for x in records]
    drawn = {
        split: x for split, x in SPLITS.items() if series(records_of_all, f"{split}/{name}")[0]
    }
    picture, axes = _by_epoch(records_of_all, theme, heading)
    width, height = picture.get_size_inches()
    picture.set_size_inches(width, height + _LEGEND_LINE * (len(runs) + len(drawn)))
    for index, (run, records) in enumerate(runs.items()):
        color = colormaps["tab10"](index) if len(runs) <= 10 else _shade(index, len(runs))
        _draw_run(axes, label(run, 60), records, name, color)
    for split, title in drawn.items():
        axes.plot([], [], color=theme.ink, label=title, **_LINES[split])
    picture.legend(frameon=False, labelcolor=theme.ink, fontsize=11, loc="outside lower left")
    return picture


def _draw_run(axes: Any, run: str, records: Records, name: str, color: Any) -> None:
    """Draws a run: a dot marks its best epoch, and a cross the end of an unfinished run."""
    best = next((record["best_epoch"] for record in records if "best_epoch" in record), None)
    points: dict[int, float] = {}
    for split in SPLITS:  # the validation comes last, and gets the mark
        epochs, values = series(records, f"{split}/{name}")
        if epochs:
            axes.plot(epochs, values, color=color, **_LINES[split])
        points = dict(zip(epochs, values, strict=True)) or points
    title, marker = (run, "o") if best is not None else (f"{run} ({UNFINISHED})", "x")
    marked = best if best in points else max(points, default=None)
    at = [] if marked is None else [marked]
    axes.plot(at, [points[x] for x in at], color=color, ls="", marker=marker, ms=6, label=title)


def _shade(index: int, count: int) -> Any:
    """Returns one of many distinct colors."""
    return colormaps["turbo"](index / (count - 1))


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
    if len(set(epochs)) == 1:  # matplotlib would show hundredths
        axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
    return picture, axes


def _line(axes: Any, epochs: Sequence[int], values: Any, color: str, name: str) -> None:
    marker = "o" if len(epochs) <= 25 else ""
    axes.plot(epochs, values, color=color, lw=2, marker=marker, ms=4, label=name)
