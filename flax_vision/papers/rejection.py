"""Rejection of uncertain digits, as in figure 10 of the LeNet-5 paper."""

from collections.abc import Sequence
from functools import partial

from flax_vision.analysis.rejection import RejectionCurve, margins, rejection_curve
from flax_vision.analysis.report.figures.rejection import rejection
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.measures import PAPER, TEST_ERROR, test_error
from flax_vision.papers.run_images import logits, read_images

REJECTED = "rejected for an error of 0.5 %, %"


def compare_rejections(experiment: Experiment, runs: Sequence[Run]) -> Analysis:
    """Returns the share of test images to reject for an error of 0.5 % on the others.

    Images with a small difference between the scores of the best two classes are rejected first
    (section III.D).

    Args:
      experiment: Experiment whose paper numbers are under `REJECTED`, by setting.
      runs: Finished runs; the figure shows the first seed of each setting.
    """
    curves: dict[str, list[RejectionCurve]] = {}
    errors: dict[str, list[float]] = {}
    for run in runs:
        images, tests = read_images(run, "test")
        scores = logits(run, images)
        curve = rejection_curve(tests.labels, scores.argmax(1), margins(scores))
        curves.setdefault(run.label, []).append(curve)
        errors.setdefault(run.label, []).append(test_error(run))
    rows: list[Row] = [
        {
            "setting": label,
            TEST_ERROR: errors[label],
            REJECTED: [100 * curve.rejected_for() for curve in own],
            f"{REJECTED}, {PAPER}": experiment.paper[REJECTED].get(label),
        }
        for label, own in curves.items()
    ]
    firsts = {label: own[0] for label, own in curves.items()}
    return Analysis(rows, partial(rejection, firsts), "Error by the share of rejected images.")
