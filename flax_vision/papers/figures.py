"""Figures of runs: curves by epoch or iteration, errors by size of the training set, and bars."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import MaxNLocator

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, label, style
from flax_vision.papers.experiment import Column, Run
from flax_vision.papers.measures import TEST_ERROR, test_error, train_error, training_images

_HEIGHT = 4.0
"""Height of a figure in inches."""

_SPLITS: Mapping[str, Mapping[str, Any]] = {
    "train": {"lw": 1.2, "ls": "--"},
    "test": {"lw": 2.2, "ls": "-"},
}
"""Lines of the splits: as in the ResNet paper, thin and dashed for training, bold for test."""

_NAMES = {"train": "training", "test": "test"}


def error_curves(
    runs: Sequence[Run],
    theme: Theme = LIGHT,
    splits: Sequence[str] = ("train", "test"),
    by: str = "epoch",
    styles: Mapping[str, str] | None = None,
) -> Picture:
    """Draws the errors by epoch or iteration; a band spans the seeds of a setting.

    Args:
      runs: Finished runs.
      theme: Colors.
      splits: Splits with curves.
      by: Record entry of the horizontal axis: `epoch` or `step`.
      styles: Line style of each setting, in place of the splits' own.
    """
    picture, axes = axes_for(theme, "epoch" if by == "epoch" else "iteration", "error, %")
    labels = list(dict.fromkeys(run.label for run in runs))
    for index, name in enumerate(labels):
        for split in splits:
            x, errors = _series([run for run in runs if run.label == name], split, by)
            line = dict(_SPLITS[split]) | {"color": color(index, len(labels))}
            if styles:
                line |= {"ls": styles[name], "lw": 2.0}
            title = label(name) if len(splits) == 1 else f"{label(name)}, {_NAMES[split]}"
            marker = "o" if len(x) < 3 else ""
            axes.plot(x, errors.mean(0), label=title, marker=marker, ms=4, **line)
            if len(errors) > 1:
                axes.fill_between(
                    x, errors.min(0), errors.max(0), color=line["color"], alpha=0.15, lw=0
                )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    add_legend(axes, theme)
    return picture


def _series(runs: Sequence[Run], split: str, by: str) -> tuple[list[int], np.ndarray]:
    """Returns the horizontal positions, and the errors of each run in percent [runs, epochs]."""
    entry = f"{split}/top1"
    length = min(len(run.records) for run in runs)
    x = [record[by] for record in runs[0].records[:length]]
    errors = [[100 * (1 - record[entry]) for record in run.records[:length]] for run in runs]
    return x, np.asarray(errors)


def errors_by_size(
    runs: Sequence[Run],
    groups: Mapping[str, str],
    theme: Theme = LIGHT,
) -> Picture:
    """Draws the errors against the size of the training set, as in LeNet-5's figure 6.

    Args:
      runs: Finished runs.
      groups: Name of the curve of each setting.
      theme: Colors.
    """
    sizes = {run.label: count for run, count in zip(runs, training_images(runs), strict=True)}
    picture, axes = axes_for(theme, "training images", "error, %")
    names = list(dict.fromkeys(groups[run.label] for run in runs))
    for index, name in enumerate(names):
        own = [run for run in runs if groups[run.label] == name]
        labels = sorted({run.label for run in own}, key=lambda text: sizes[text])
        for split, measure in {"train": train_error, "test": test_error}.items():
            means = [np.mean([measure(run) for run in own if run.label == x]) for x in labels]
            axes.plot(
                [sizes[x] for x in labels],
                means,
                color=color(index, len(names)),
                marker="o",
                label=f"{_NAMES[split]}, {name}",
                **_SPLITS[split],
            )
    axes.set_ylim(bottom=0)
    add_legend(axes, theme)
    return picture


def bars(
    runs: Sequence[Run],
    theme: Theme = LIGHT,
    measure: Column = test_error,
    heading: str = TEST_ERROR,
) -> Picture:
    """Draws a bar for the mean of each setting, and a dot for each seed.

    Args:
      runs: Finished runs.
      theme: Colors.
      measure: Function that measures a run.
      heading: Title of the axis.
    """
    values: dict[str, list[float]] = {}
    for run in runs:
        values.setdefault(run.label, []).append(measure(run))
    return bar_chart(values, theme, heading)


def bar_chart(
    values: Mapping[str, Sequence[float]], theme: Theme = LIGHT, heading: str = TEST_ERROR
) -> Picture:
    """Draws horizontal bars, as in LeNet-5's figure 9.

    Args:
      values: Numbers of each bar, one for each seed.
      theme: Colors.
      heading: Title of the axis.
    """
    picture = Picture(WIDTH, 0.9 + 0.42 * len(values), theme)
    axes = picture.add_subplot()
    style(axes, theme)
    axes.set_xlabel(heading, fontsize=12)
    positions = range(len(values))
    means = [float(np.mean(numbers)) for numbers in values.values()]
    shown = [mean if math.isfinite(mean) else 0.0 for mean in means]
    axes.barh(positions, shown, color=theme.first, height=0.6)
    for position, numbers in zip(positions, values.values(), strict=True):
        if len(numbers) > 1:
            axes.plot(numbers, [position] * len(numbers), "o", color=theme.second, ms=4)
    for position, mean in zip(positions, means, strict=True):
        number = f"{mean:,.0f}" if mean >= 1000 else f"{mean:.3g}"
        text = f" {number}" if math.isfinite(mean) else " not reached"
        axes.text(shown[position], position, text, va="center", fontsize=11, color=theme.ink)
    axes.set_yticks(positions, [label(name, 40) for name in values])
    axes.margins(x=0.18)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.invert_yaxis()
    return picture


def axes_for(theme: Theme, x: str, y: str, width: float = WIDTH) -> tuple[Picture, Any]:
    """Returns a figure with one pair of axes.

    Args:
      theme: Colors.
      x: Title of the horizontal axis.
      y: Title of the vertical axis.
      width: Width in inches.
    """
    picture = Picture(width, _HEIGHT, theme)
    axes = picture.add_subplot()
    style(axes, theme)
    axes.grid(color=theme.grid, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, fontsize=12)
    axes.set_ylabel(y, fontsize=12)
    return picture, axes


def add_legend(axes: Any, theme: Theme) -> None:
    """Adds a legend without a frame."""
    axes.legend(frameon=False, labelcolor=theme.ink, fontsize=10)


def color(index: int, count: int) -> Any:
    """Returns one of several distinct colors."""
    return colormaps["tab10"](index) if count <= 10 else colormaps["turbo"](index / (count - 1))
