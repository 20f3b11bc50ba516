"""Measurements of a run, and the table that compares settings."""

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

from flax_vision.models.summary import summarize, totals
from flax_vision.papers.experiment import Analysis, Experiment, Row, Run
from flax_vision.weights import run_files
from flax_vision.weights.loading import load_metadata

TEST_ERROR = "test error, %"
PAPER = "paper"


def test_error(run: Run) -> float:
    """Returns the test error of the best epoch in percent."""
    return 100 * (1 - float(run.result["test/top1"]))


def train_error(run: Run) -> float:
    """Returns the training error of the last epoch in percent, with augmentation."""
    return 100 * (1 - float(run.records[-1]["train/top1"]))


def epochs_to(run: Run, error: float = 25.0) -> float:
    """Returns the first epoch with a training error of at most `error` percent; NaN for none."""
    for record in run.records:
        if 100 * (1 - record["train/top1"]) <= error:
            return float(record["epoch"])
    return math.nan


def training_images(runs: Sequence[Run]) -> list[int]:
    """Returns the number of training images of each run."""
    datasets = [run_files.read_dataset(run.path, run_files.RESTORE) or {} for run in runs]
    return [sum(count for count, _ in dataset["train"].values()) for dataset in datasets]


def parameters(run: Run) -> float:
    """Returns the number of trainable parameters."""
    return _size(run.path)[0]


def multiply_adds(run: Run) -> float:
    """Returns the multiply-adds for one image of the run."""
    return _size(run.path)[1]


@lru_cache(maxsize=64)
def _size(path: Path) -> tuple[int, int]:
    metadata = load_metadata(path)
    rows = summarize(metadata.create_model(), metadata.input_shape)
    total = totals(rows)[-1]
    return total.parameters, total.multiply_adds


def compare(experiment: Experiment, runs: Sequence[Run]) -> Analysis:
    """Returns a row for each setting, with the paper's numbers beside the measured ones.

    Args:
      experiment: Experiment with columns and a drawing function.
      runs: Finished runs.
    """
    labels = list(dict.fromkeys(run.label for run in runs))
    rows: list[Row] = []
    for label in labels:
        own = [run for run in runs if run.label == label]
        row: Row = {"setting": label}
        for heading, measure in experiment.columns.items():
            row[heading] = [_finite(measure(run)) for run in own]
            if heading in experiment.paper:
                row[f"{heading}, {PAPER}"] = experiment.paper[heading].get(label)
        rows.append(row)
    assert experiment.draw is not None
    draw = partial(experiment.draw, runs)
    return Analysis(rows, draw, f"Curves or bars of {', '.join(labels)}.")


def _finite(value: float) -> float | None:
    """Returns a number for JSON; None for NaN or infinity."""
    if not math.isfinite(value):
        return None
    return int(value) if isinstance(value, int) else float(value)
