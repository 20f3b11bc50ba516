"""The files of a run directory that its report shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax_vision.errors import UserError
from flax_vision.evaluation.run_data import run_config
from flax_vision.weights.loading import LoadedModel, load_model
from flax_vision.weights.run_files import (
    CONFIG,
    METRICS,
    RESTORE,
    Records,
    read_dataset,
    read_launches,
    read_records,
    read_result,
)
from flax_vision.weights.run_records import recover_history

_LEFT_OUT = "the report leaves it out"


@dataclass(frozen=True)
class TrainedRun:
    """The content of a run directory.

    Attributes:
      path: The run directory.
      loaded: The model.
      config: The configuration, as nested dictionaries.
      records: Records of the epochs, and the result.
      starts: Times, hosts and library versions of its starts.
      images: Numbers of images of its parts; empty if unknown.
      warnings: Texts about unusable files.
    """

    path: Path
    loaded: LoadedModel
    config: Mapping[str, Any]
    records: Records
    starts: Sequence[Mapping[str, Any]]
    images: Mapping[str, int]
    warnings: Sequence[str]


def open_trained_run(path: Path) -> TrainedRun:
    """Reads a run directory.

    Raises:
      UserError: There is no run, or its configuration or its model cannot be read.
    """
    if not (path / METRICS).is_file() and not (path / CONFIG).is_file():
        raise UserError(
            f"no run in {str(path)!r}: it has no {METRICS}. Give the directory of a run, such as "
            "runs/lenet5."
        )
    config = run_config(path)
    if not config:
        raise UserError(f"{path / CONFIG} is missing; {RESTORE}.")
    warnings: list[str] = []
    records, starts = _records(path, warnings), _starts(path, warnings)
    images = _image_counts(path, warnings)
    return TrainedRun(path, load_model(path), config, records, starts, images, warnings)


def _records(path: Path, warnings: list[str]) -> Records:
    """Returns the records; the newest checkpoint and the result replace a damaged file."""
    recovered = recover_history(path, "the report shows the records of the newest checkpoint")
    if recovered is None:
        return read_records(path)
    history, damage = recovered
    warnings.append(str(damage).rstrip("."))
    result = read_result(path, RESTORE)
    return [*history, *([result] if result else [])]


def _starts(path: Path, warnings: list[str]) -> Sequence[Mapping[str, Any]]:
    try:
        return read_launches(path, _LEFT_OUT)
    except UserError as damage:
        warnings.append(str(damage).rstrip("."))
        return []


def _image_counts(path: Path, warnings: list[str]) -> dict[str, int]:
    try:
        parts = read_dataset(path, _LEFT_OUT) or {}
    except UserError as damage:
        warnings.append(str(damage).rstrip("."))
        return {}
    return {part: sum(count for count, _ in classes.values()) for part, classes in parts.items()}
