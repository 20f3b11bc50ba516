"""Predictions and nearest training images, as in figure 4 of the AlexNet paper."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from flax_vision.analysis.report.figures.drawing import LIGHT, Picture, Sheet, Theme, label
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.run_images import layer_outputs, probabilities, read_images

QUERIES, NEIGHBORS, TOP = 8, 6, 5
"""Test images, nearest training images of each, and drawn classes, as in the figure."""

_TRAIN_IMAGES = 2000
_CELL, _BARS, _LINE, _MARGIN = 0.8, 1.7, 0.16, 0.06
"""Sizes of a cell, of the classes, of a line and of the upper margin, in inches."""


def show_nearest(experiment: Experiment, runs: Sequence[Run], layer: str = "relu7") -> Analysis:
    """Returns the classes of eight test images and of their nearest training images.

    Distances are Euclidean, between the outputs of a layer (section 6.1).

    Args:
      experiment: The experiment.
      runs: Finished runs; the first one is shown.
      layer: Name of the layer.
    """
    del experiment
    run = runs[0]
    queries, tests = read_images(run, "test", QUERIES)
    images, training = read_images(run, "train", _TRAIN_IMAGES)
    near = nearest(layer_outputs(run, queries, layer), layer_outputs(run, images, layer))
    scores, names = probabilities(run, queries), tests.class_names
    rows: list[Row] = [
        {
            "test image": names[true],
            "predicted": names[int(scores[index].argmax())],
            "classes of the nearest training images": ", ".join(
                names[x] for x in training.labels[near[index]]
            ),
        }
        for index, true in enumerate(tests.labels)
    ]
    draw = partial(draw_nearest, queries, tests.labels, scores, images[near], names)
    return Analysis(rows, draw, "Test images, their classes, and the nearest training images.")


def nearest(queries: np.ndarray, features: np.ndarray, count: int = NEIGHBORS) -> np.ndarray:
    """Returns the indices of the nearest features, the nearest first, int [N, count].

    Args:
      queries: float [N, D].
      features: float [M, D].
      count: Number of neighbors.
    """
    squares = (queries**2).sum(1)[:, None] + (features**2).sum(1)[None]
    distances = squares - 2 * queries @ features.T
    return np.argsort(distances, axis=1, kind="stable")[:, :count]


def draw_nearest(
    queries: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    neighbors: np.ndarray,
    class_names: Sequence[str],
    theme: Theme = LIGHT,
) -> Picture:
    """Draws each test image with its most probable classes and its nearest training images.

    Args:
      queries: uint8 [N, H, W, C].
      labels: True classes, int [N].
      scores: Probabilities, float [N, classes].
      neighbors: Nearest training images, uint8 [N, count, H, W, C].
      class_names: Names of all classes.
      theme: Colors.
    """
    count = neighbors.shape[1]
    sheet = Sheet(_CELL * (1 + count) + _BARS, len(queries) * (_CELL + 0.25) + _MARGIN, theme)
    size = (_CELL - 0.06, _CELL - 0.06)
    for index, image in enumerate(queries):
        top = index * (_CELL + 0.25) + _MARGIN
        sheet.put(image, 0.03, top, size, vmin=0, vmax=255)
        sheet.write(label(class_names[labels[index]], 12), 0.03, top + _CELL - 0.04, fontsize=8)
        best = np.argsort(-scores[index], kind="stable")[:TOP]
        for line, guess in enumerate(best):
            color = theme.second if guess == labels[index] else theme.ink
            text = f"{label(class_names[guess], 14)}  {scores[index, guess]:.0%}"
            sheet.write(text, _CELL + 0.1, top + line * _LINE, fontsize=8, color=color)
        for position, neighbor in enumerate(neighbors[index]):
            left = _CELL + _BARS + position * _CELL
            sheet.put(neighbor, left, top, size, vmin=0, vmax=255)
    return sheet
