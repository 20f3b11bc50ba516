"""Draws loss, accuracy and learning rate by epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import MaxNLocator, PercentFormatter

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, label, style
from flax_vision.text import counted
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


def settings(groups: Mapping[str, Sequence[Records]], name: str, theme: Theme = LIGHT) -> Picture:
    """Draws the mean of the runs of each setting, and their range as a band.

    The band shows validation; without it, the test during training; without both, training.

    Args:
      groups: Records of the runs of each setting, by its title.
      name: Metric, `"top1"` or `"loss"`.
      theme: Colors.
    """
    everything = [record for runs in groups.values() for records in runs for record in records]
    drawn = _drawn_splits(everything, name)
    picture, axes = _by_epoch(everything, theme, {"top1": "top-1 accuracy"}.get(name, name))
    _add_space(picture, len(groups) + len(drawn))
    for index, (title, runs) in enumerate(groups.items()):
        color = _color(index, len(groups))
        for split in drawn:
            epochs, values = _by_run(runs, f"{split}/{name}")
            axes.plot(epochs, values.mean(axis=0), color=color, **_LINES[split])
        if drawn:  # the last split, which is the validation if there is one
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(epochs, low, high, color=color, alpha=0.2, lw=0)
        axes.plot(
            [], [], color=color, lw=4, label=f"{label(title, 60)} ({counted(len(runs), 'run')})"
        )
    _add_legend(picture, drawn, theme)
    if name == "top1":
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    return picture


def _by_run(runs: Sequence[Records], name: str) -> tuple[list[int], np.ndarray]:
    """Returns the epochs that all runs have, and the values [runs, epochs]."""
    curves = [dict(zip(*series(records, name), strict=True)) for records in runs]
    epochs = sorted(set.intersection(*(set(curve) for curve in curves)))
    return epochs, np.array([[curve[epoch] for epoch in epochs] for curve in curves])


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
        _draw_run(axes, label(run, 60), records, name, _color(index, len(runs)))
    _add_legend(picture, drawn, theme)
    return picture


def _drawn_splits(records: Records, name: str) -> dict[str, str]:
    """Returns the entries of `SPLITS` that have values."""
    return {split: x for split, x in SPLITS.items() if series(records, f"{split}/{name}")[0]}


def _add_space(picture: Picture, lines: int) -> None:
    """Makes a picture higher for the lines of its legend."""
    width, height = picture.get_size_inches()
    picture.set_size_inches(width, height + _LEGEND_LINE * lines)


def _add_legend(picture: Picture, splits: Mapping[str, str], theme: Theme) -> None:
    """Adds the legend of several runs or settings, with the lines of the splits."""
    for split, title in splits.items():
        picture.axes[0].plot([], [], color=theme.ink, label=title, **_LINES[split])
    picture.legend(frameon=False, labelcolor=theme.ink, fontsize=11, loc="outside lower left")


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


def _color(index: int, count: int) -> Any:
    """Returns one of `count` distinct colors."""
    return colormaps["tab10"](index) if count <= 10 else colormaps["turbo"](index / (count - 1))


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
