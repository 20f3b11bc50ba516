"""Kernels of the first layer, as in figure 3 of the AlexNet paper."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from flax_vision.analysis.report.figures.filters import filters, first_kernels
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.weights.loading import load_model


def show_kernels(experiment: Experiment, runs: Sequence[Run]) -> Analysis:
    """Returns the number of kernels and the share of color in each column.

    The share of color is the mean squared difference from the mean over the channels, divided by
    the mean squared weight. It is 0 for gray kernels. In the paper, one column specializes in
    color.

    Args:
      experiment: The experiment.
      runs: Finished runs; the first one is drawn.
    """
    del experiment
    variables = load_model(runs[0].path).variables
    rows: list[Row] = []
    for column, kernels in enumerate(first_kernels(variables)):
        gray = kernels.mean(axis=2, keepdims=True)
        share = np.mean((kernels - gray) ** 2) / np.mean(kernels**2)
        rows.append(
            {
                "column": "ab"[column],
                "kernels": kernels.shape[-1],
                "kernels, paper": 48,
                "size": kernels.shape[:3],
                "share of color": float(share),
            }
        )
    return Analysis(rows, partial(filters, variables), "Kernels of the first layer, by column.")
