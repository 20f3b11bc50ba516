"""Rejection of uncertain digits, as in figure 10 of the LeNet-5 paper."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from flax_vision.analysis.report.figures.drawing import LIGHT, Picture, Theme
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.figures import add_legend, axes_for, color
from flax_vision.papers.run_images import probabilities, read_images

TARGET = 0.5
"""Error on the accepted images in percent (section III.C)."""


def compare_rejections(experiment: Experiment, runs: Sequence[Run]) -> Analysis:
    """Returns the share of test images to reject for an error of 0.5 % on the others.

    The paper rejects images whose two smallest penalties are close; here the two largest
    probabilities are.

    Args:
      experiment: The experiment.
      runs: Finished runs.
    """
    del experiment
    curves: dict[str, list[np.ndarray]] = {}
    for run in runs:
        images, tests = read_images(run, "test")
        curve = rejection_curve(probabilities(run, images), tests.labels)
        curves.setdefault(run.label, []).append(curve)
    rows: list[Row] = [
        {
            "setting": label,
            "test error, %": [float(curve[0]) for curve in own],
            "rejected for an error of 0.5 %, %": [rejected_share(curve) for curve in own],
        }
        for label, own in curves.items()
    ]
    firsts = {label: own[0] for label, own in curves.items()}
    return Analysis(rows, partial(draw_rejections, firsts), "Error by the share of rejections.")


def rejection_curve(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the error in percent on the accepted images, after 0 to N - 1 rejections.

    The images with the smallest difference of the two largest probabilities are rejected first.

    Args:
      scores: Probabilities, float [N, classes].
      labels: True classes, int [N].
    """
    second, first = np.sort(scores, axis=1)[:, -2:].T
    order = np.argsort(second - first, kind="stable")  # the most certain first
    wrong = (scores.argmax(1) != labels)[order].cumsum()
    return 100 * (wrong / np.arange(1, len(labels) + 1))[::-1]


def rejected_share(curve: np.ndarray, target: float = TARGET) -> float:
    """Returns the smallest share of rejections in percent whose error is at most `target`.

    Args:
      curve: Errors of `rejection_curve`.
      target: Largest error in percent.
    """
    reached = np.flatnonzero(curve <= target)
    return float(100 * (reached[0] if len(reached) else len(curve)) / len(curve))


def draw_rejections(curves: Mapping[str, np.ndarray], theme: Theme = LIGHT) -> Picture:
    """Draws the error by the share of rejected images, with the paper's error of 0.5 %.

    Args:
      curves: Errors of `rejection_curve` for each setting.
      theme: Colors.
    """
    picture, axes = axes_for(theme, "rejected test images, %", "error on the others, %")
    for index, (label, curve) in enumerate(curves.items()):
        shares = 100 * np.arange(len(curve)) / len(curve)
        axes.plot(shares, curve, color=color(index, len(curves)), lw=1.8, label=label)
    axes.axhline(TARGET, color=theme.faint, lw=1, ls=":", label="0.5 %")
    axes.set_ylim(bottom=0)
    add_legend(axes, theme)
    return picture
