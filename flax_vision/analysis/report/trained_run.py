"""Reads the files of a run directory for its report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax_vision.errors import UserError
from flax_vision.evaluation.run_data import run_config
from flax_vision.weights import run_files
from flax_vision.weights.loading import LoadedModel, load_model
from flax_vision.weights.run_checkpoints import recover_history
from flax_vision.weights.run_files import CONFIG, METRICS, RESTORE, Records

_LEFT_OUT = "the report leaves it out"


@dataclass(frozen=True)
class TrainedRun:
    """The content of a run directory.

    Attributes:
      path: The run directory.
      loaded: The model.
      config: The configuration, as nested dictionaries.
      records: Records of the epochs, and the result.
      launches: Times, hosts and library versions of its launches.
      image_counts: Number of images of each split; empty if unknown.
      warnings: Texts about unusable files.
    """

    path: Path
    loaded: LoadedModel
    config: Mapping[str, Any]
    records: Records
    launches: Sequence[Mapping[str, Any]]
    image_counts: Mapping[str, int]
    warnings: Sequence[str]


def open_trained_run(path: Path) -> TrainedRun:
    """Reads a run directory.

    Raises:
      UserError: There is no run, or its configuration or its model cannot be read.
    """
    config = read_trained_config(path)
    warnings: list[str] = []
    records = _records(path, warnings)
    launches = _read_optional(run_files.read_launches, path, warnings) or []
    dataset = _read_optional(run_files.read_dataset, path, warnings) or {}
    image_counts = {
        split: sum(count for count, _ in classes.values()) for split, classes in dataset.items()
    }
    return TrainedRun(path, load_model(path), config, records, launches, image_counts, warnings)


def read_trained_config(path: Path) -> dict[str, Any]:
    """Returns the configuration of a run, as nested dictionaries.

    Raises:
      UserError: There is no run, or its configuration cannot be read.
    """
    if not (path / METRICS).is_file() and not (path / CONFIG).is_file():
        raise UserError(
            f"no run in {str(path)!r}: it has no {METRICS}. Give the directory of a run, such as "
            "runs/lenet5."
        )
    config = run_config(path)
    if not config:
        raise UserError(f"{path / CONFIG} is missing; {RESTORE}.")
    return config


def _records(path: Path, warnings: list[str]) -> Records:
    """Returns the records; the newest checkpoint and the result replace a damaged file."""
    recovered = recover_history(path, "the report shows the records of the newest checkpoint")
    if recovered is None:
        return run_files.read_records(path)
    history, damage = recovered
    warnings.append(str(damage).rstrip("."))
    result = run_files.read_result(path, RESTORE)
    return [*history, *([result] if result else [])]


def _read_optional(read: Callable[[Path, str], Any], path: Path, warnings: list[str]) -> Any:
    """Returns the content of a file; adds a warning and returns None if it is damaged."""
    try:
        return read(path, _LEFT_OUT)
    except UserError as damage:
        warnings.append(str(damage).rstrip("."))
        return None
