"""Strings of digits read by LeNet-5 along a wide field, as in section VII of its paper."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from flax_vision.analysis.digit_strings import (
    StringReading,
    make_string,
    read_scores,
    string_scores,
)
from flax_vision.analysis.report.figures.digit_string import digit_string
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.papers.run_images import in_batches, read_images
from flax_vision.weights.loading import load_model

STRINGS, DIGITS = 200, 5
"""Number of strings, and of digits in each."""


def read_strings(experiment: Experiment, runs: Sequence[Run]) -> Analysis:
    """Returns the share of strings of test digits that each run reads correctly.

    Args:
      experiment: The experiment.
      runs: Finished runs of `lenet5`; the figure shows a string and its outputs of the first run.
    """
    del experiment
    rows: list[Row] = []
    first: tuple[np.ndarray, StringReading, tuple[int, ...]] | None = None
    for run in runs:
        strings, truths, readings = _read(run)
        first = first or (strings[0], readings[0], truths[0])
        right = [reading.digits == truth for reading, truth in zip(readings, truths, strict=True)]
        rows.append(
            {
                "setting": f"{run.label}, seed {run.seed}",
                "strings": STRINGS,
                "digits in each": DIGITS,
                "read correctly, %": 100 * float(np.mean(right)),
                "all five single digits, %": 100 * float(run.result["test/top1"]) ** DIGITS,
            }
        )
    assert first is not None
    string, reading, truth = first
    text = f"A string of the digits {truth}, which was read as {reading.digits}."
    return Analysis(rows, partial(digit_string, string, reading, truth), text)


def _read(run: Run) -> tuple[list[np.ndarray], list[tuple[int, ...]], list[StringReading]]:
    """Returns strings of test digits, their true digits, and the readings of a run."""
    images, tests = read_images(run, "test")
    made = [make_string(images, tests.labels, DIGITS, seed) for seed in range(STRINGS)]
    strings, truths = [string for string, _ in made], [truth for _, truth in made]
    metadata, model, variables, _ = load_model(run.path)
    parts = in_batches(
        lambda x: string_scores(model, variables, np.asarray(metadata.preprocessing(x))),
        np.stack(strings),
    )
    return strings, truths, [read_scores(scores) for scores in np.concatenate(parts)]
