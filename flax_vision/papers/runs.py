"""Trains the settings of an experiment; finished runs are reused."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flax_vision.data.flags import TRAIN_FLAGS
from flax_vision.errors import UserError, unknown
from flax_vision.papers.experiment import DATASETS, FULL, REDUCED, Experiment, Run, Training
from flax_vision.papers.measures import training_images
from flax_vision.text import counted
from flax_vision.training.config_loader import build_config
from flax_vision.training.config_schema import flatten
from flax_vision.training.presets import Overrides
from flax_vision.training.sweep import SweepObserver, run_sweep
from flax_vision.weights import run_files

_PLAIN = {"write_report": False}
"""Overrides of every run of an experiment."""

_PATHS = ("data.tfds_dir", "data.image_dir", "seed", "write_report")
"""Keys that do not count as differences from the paper."""


@dataclass(frozen=True)
class ExperimentOptions:
    """Choices of an experiment.

    Attributes:
      size: One of `SIZES`.
      data: Name of the dataset; empty for the default.
      seeds: Seeds; empty for the default of the size.
      tfds_dir: Directory of TFDS's datasets; empty for the default.
      workdir: Directory of all experiments.

    Raises:
      UserError: The dataset does not exist; the nearest one is offered.
    """

    size: str = REDUCED
    data: str = ""
    seeds: Sequence[int] = ()
    tfds_dir: str = ""
    workdir: Path = Path("runs/papers")

    def __post_init__(self) -> None:
        if self.data and self.data not in DATASETS:
            raise unknown("dataset of the experiments", self.data, DATASETS)

    def seeds_of(self, training: Training) -> Sequence[int]:
        """Returns the seeds of a training."""
        return self.seeds or range(training.seeds if self.size == REDUCED else 1)

    def name(self, name: str) -> str:
        """Returns a name with the dataset and the size, unless they are the defaults."""
        size = "" if self.size == REDUCED else self.size
        return "-".join(filter(None, (name, self.data, size)))


def train(
    experiment: Experiment, options: ExperimentOptions, observer: SweepObserver | None = None
) -> list[Run]:
    """Trains every setting with every seed, and returns the finished runs.

    A finished run is read, and a stopped one resumes.

    Args:
      experiment: The experiment.
      options: Choices of the experiment.
      observer: Receiver of the progress; None for warnings only.

    Raises:
      UserError: A run cannot be trained, for example without its dataset.
      Interrupted: Ctrl-C or SIGTERM arrived, and the state was saved.
    """
    training = experiment.training
    if training is None:
        return []
    labels, seeds = experiment.chosen_labels(options.size), options.seeds_of(training)
    swept = run_sweep(
        training.spec(options.size, options.data),
        [training.own_settings(label, options.size) for label in labels],
        list(seeds),
        options.workdir / options.name(training.name),
        observer,
        common_overrides(training, options),
        stop_at_failure=True,
    )
    for run in swept:
        if run.error:
            raise UserError(_with_own_options(run.error))
    keys = [(label, seed) for label in labels for seed in seeds]
    return [read_run(run.workdir, *key) for run, key in zip(swept, keys, strict=True)]


def _with_own_options(error: str) -> str:
    """Replaces the flags of train.py in an error by the options of `flax-vision paper`."""
    names = {TRAIN_FLAGS.tfds_dir: "--tfds-dir=", TRAIN_FLAGS.name: "--data="}
    for name, own in names.items():
        error = error.replace(name, own)
    return error


def common_overrides(training: Training, options: ExperimentOptions) -> Overrides:
    """Returns the overrides of all settings of a training."""
    overrides = training.overrides(options.size) | _PLAIN
    return overrides | ({"data.tfds_dir": options.tfds_dir} if options.tfds_dir else {})


def make_config(training: Training, label: str, options: ExperimentOptions) -> ConfigDict:
    """Returns the checked configuration of a setting.

    Args:
      training: Settings to train.
      label: Name of the setting.
      options: Choices of the experiment.

    Raises:
      UserError: The config file has no recipe for the dataset, or a value is invalid.
    """
    changes = common_overrides(training, options) | training.own_settings(label, options.size)
    return build_config(training.spec(options.size, options.data), changes)


def read_run(path: Path, label: str, seed: int) -> Run:
    """Returns a finished run.

    Args:
      path: Run directory.
      label: Name of the setting.
      seed: Seed of the run.
    """
    records = run_files.read_records(path)
    result = run_files.read_result(path, run_files.RESTORE) or {}
    config = flatten(run_files.read_config(path))
    epochs = [record for record in records if "epoch" in record]
    return Run(label, seed, path, config, result, epochs)


def reductions(
    experiment: Experiment, options: ExperimentOptions, runs: Sequence[Run]
) -> list[str]:
    """Returns a line for each difference between the runs and the paper's training.

    Args:
      experiment: The experiment.
      options: Choices of the experiment.
      runs: Finished runs.
    """
    training = experiment.training
    if training is None or not runs:
        return []
    full = ExperimentOptions(FULL, options.data if options.size == FULL else "")
    label = runs[0].label
    paper, here = (flatten(make_config(training, label, x)) for x in (full, options))
    lines = [
        f"{key} is {_text(here.get(key))}, not {_text(paper[key])}"
        for key in paper
        if key not in _PATHS and _text(here.get(key)) != _text(paper[key])
    ]
    counts = sorted(set(training_images(runs)))
    images = f"{' to '.join(f'{x:,}' for x in (counts[0], counts[-1])[: len(counts)])}"
    seeds = counted(len({run.seed for run in runs}), "seed")
    return [f"{images} training images", seeds, *lines]


def _text(value: Any) -> str:
    """Returns a short text of a value."""
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_text, value))})"
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
