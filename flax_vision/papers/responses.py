"""Standard deviations of the layers' responses, as in figure 7 of the ResNet paper."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.ticker import MaxNLocator

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, style
from flax_vision.analysis.responses import response_stds
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.figures import add_legend, color
from flax_vision.papers.run_images import read_images
from flax_vision.weights.loading import load_model

_IMAGES = 1000
"""Number of test images."""


def compare_responses(experiment: Experiment, runs: Sequence[Run]) -> Analysis:
    """Returns the mean and the extremes of the standard deviations of each run.

    Args:
      experiment: The experiment.
      runs: Finished runs.
    """
    del experiment
    deviations = {f"{run.label}, seed {run.seed}": layer_deviations(run) for run in runs}
    rows: list[Row] = [
        {
            "setting": name,
            "layers": len(values),
            "mean deviation": float(np.mean(values)),
            "smallest": float(np.min(values)),
            "largest": float(np.max(values)),
        }
        for name, values in deviations.items()
    ]
    draw = partial(draw_deviations, deviations)
    return Analysis(rows, draw, f"Standard deviations by layer of {', '.join(deviations)}.")


def layer_deviations(run: Run) -> np.ndarray:
    """Returns the standard deviation of each 3x3 layer's response to test images.

    Args:
      run: A finished run of a model with batch normalization.

    Returns:
      float64 [layers], from the first layer to the last.
    """
    images, _ = read_images(run, "test", _IMAGES)
    metadata, model, variables, _ = load_model(run.path)
    stds = response_stds(model, variables, metadata.preprocessing(images))
    return np.asarray(list(stds.values()))


def draw_deviations(deviations: Mapping[str, np.ndarray], theme: Theme = LIGHT) -> Picture:
    """Draws the deviations in the order of the layers, and sorted.

    Args:
      deviations: Standard deviations of the layers of each model.
      theme: Colors.
    """
    picture = Picture(WIDTH, 6.0, theme)
    titles: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "layer index": np.asarray,
        "layer index, sorted by deviation": _descending,
    }
    for row, (title, order) in enumerate(titles.items(), 1):
        axes = picture.add_subplot(2, 1, row)
        style(axes, theme)
        axes.set_xlabel(title, fontsize=12)
        axes.set_ylabel("standard deviation", fontsize=12)
        for index, (name, values) in enumerate(deviations.items()):
            x = np.arange(1, len(values) + 1)
            line = {"color": color(index, len(deviations)), "lw": 1.5}
            dashes = "--" if name.startswith("plain") else "-"
            axes.plot(x, order(values), label=name, ls=dashes, **line)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(picture.axes[0], theme)
    return picture


def _descending(values: np.ndarray) -> np.ndarray:
    return np.sort(values)[::-1]
