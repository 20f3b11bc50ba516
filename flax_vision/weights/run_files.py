"""The JSON files of a run directory, read with their types checked."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from flax_vision.errors import UserError
from flax_vision.runtime.files import read_regular, replaced_file

CONFIG = "config.json"
LAUNCHES = "launches.json"
DATASET = "dataset.json"
SPLITS = "splits.csv"
RESULT = "result.json"
METRICS = "metrics.jsonl"
METADATA = "model_metadata.json"
REPORT_PAGE = "report/index.html"

Records = Sequence[Mapping[str, Any]]
"""The objects in `metrics.jsonl`: one for each epoch, and a last one with the test."""

RUN_FORMAT = 2
"""Format of a run directory, in `config.json`; format 1 had no number."""

RESTORE = "restore the file that the run wrote"
"""Hint for a file that the run cannot write again."""

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Seconds = Annotated[float, msgspec.Meta(gt=-(2**63), lt=2**63)]
"""A range that can be shown as a time."""

_Classes = dict[str, tuple[int, str]]
"""Number of images and their digest, by class."""


_ClassMetrics = TypedDict(
    "_ClassMetrics",
    {"class": str, "precision": _Share, "recall": _Share, "f1": _Share, "support": _Count},
)

_TYPES: dict[str, Any] = {
    "best_metric": str,
    "stopped_early": str,
    "test/per_class": list[_ClassMetrics],
}
"""Types of the entries of records and results that are not numbers."""


class _Loss(TypedDict, total=False):
    name: str


class _Augmentation(TypedDict, total=False):
    flip: bool


class _Epoch(TypedDict):
    epoch: int
    epoch_seconds: _Seconds


class _Data(TypedDict, total=False):
    name: str
    tfds_dir: str
    image_dir: str
    labels: str
    image_column: str
    label_column: str
    classes: list[str]
    val_fraction: _Share
    test_fraction: _Share
    limit: _Count
    label_noise: _Share
    on_error: str
    num_threads: _Count


class _Config(TypedDict, total=False):
    """Configuration values that other programs than the trainer use."""

    format: _Count
    seed: _Count
    epochs: _Count
    batch_size: _Count
    init_from: str
    loss: _Loss
    augmentation: _Augmentation
    data: _Data


class _Continuation(TypedDict):
    step: int
    changes: dict[str, tuple[Any, Any]]


class _Launch(TypedDict):
    time: str
    host: str
    python: str
    platform: str
    devices: list[str]
    command: list[str]
    libraries: dict[str, Any]
    continues: NotRequired[_Continuation]


class _DatasetRecord(TypedDict):
    train: _Classes
    validation: _Classes
    test: _Classes


_Result = TypedDict(
    "_Result",
    {
        "step": int,
        "best_epoch": int,
        "test/images": int,
        "test/top1": _Share,
        "test/loss": float,
        "train_seconds": _Seconds,
        "input_wait_fraction": _Seconds,
    },
)


def read_config(path: Path, hint: str = RESTORE) -> dict[str, Any]:
    """Returns the configuration in a run directory; empty if there is none.

    Args:
      path: The run directory.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file cannot be read or is damaged, or the run is of another format.
    """
    config: dict[str, Any] | None = _read_json(path / CONFIG, _Config, hint)
    if config is None:
        return {}
    if not config:
        raise _damaged(path / CONFIG, "it is empty", hint)
    found = config.pop("format", 1)
    if found != RUN_FORMAT:
        raise UserError(
            f"{path} is a run of {other_version(found, RUN_FORMAT)}; train again in another "
            "directory, or export the model with the version that wrote it."
        )
    return config


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Writes the configuration of a run, with the format of its directory."""
    write_file(path / CONFIG, to_json({"format": RUN_FORMAT, **config}))


def read_launches(path: Path, hint: str) -> list[dict[str, Any]]:
    """Returns the entries of `launches.json` in a run directory; empty if it is missing.

    Args:
      path: The run directory.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file cannot be read or is damaged.
    """
    return _read_json(path / LAUNCHES, list[_Launch], hint) or []


def read_dataset(path: Path, hint: str) -> dict[str, Any] | None:
    """Returns the identities of a run's images; None if the file is missing.

    Args:
      path: The run directory.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file cannot be read or is damaged.
    """
    dataset: dict[str, Any] | None = _read_json(path / DATASET, _DatasetRecord, hint)
    return dataset


def read_result(path: Path, hint: str) -> dict[str, Any] | None:
    """Returns the result of a finished run; None for an unfinished run.

    Args:
      path: The run directory.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file cannot be read or is damaged.
    """
    result: dict[str, Any] | None = _read_json(path / RESULT, dict, hint)
    if result is not None and (problem := result_problem(result)):
        raise _damaged(path / RESULT, problem, hint)
    return result


def result_problem(result: Mapping[str, Any]) -> str:
    """Returns the first problem in the result of a run; empty for none."""
    return _type_problem(result) or _problem(result, _Result)


def read_records(path: Path, hint: str = RESTORE) -> Records:
    """Returns the objects in `metrics.jsonl` of a run directory.

    Args:
      path: The run directory.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file is missing, cannot be read or is damaged.
    """
    file = path / METRICS
    records = []
    for number, line in enumerate(_read(file, hint).splitlines(), 1):
        record = _parse(line, file, hint)
        problem = _type_problem(record)
        if problem or ("epoch" in record and (problem := _problem(record, _Epoch))):
            raise _damaged(file, f"line {number}: {problem}", hint)
        records.append(record)
    return records


def other_version(found: int, current: int) -> str:
    """Returns a description of the version of flax_vision that wrote another format."""
    age = "an older" if found < current else "a newer"
    return f"{age} version of flax_vision (format {found}; this version reads format {current})"


def to_json(content: Any) -> str:
    """Returns the text of a JSON file."""
    return json.dumps(content, indent=2) + "\n"


def write_file(path: Path, text: str) -> None:
    """Replaces a file atomically: a kill leaves the old one or the new one."""
    try:
        with replaced_file(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _type_problem(record: Any) -> str:
    """Returns the first entry of a record that is of another type; empty for none."""
    if not isinstance(record, dict):
        return _problem(record, dict)
    numbers = {key: x for key, x in record.items() if key not in _TYPES}
    problems = (_problem(record[key], kind) for key, kind in _TYPES.items() if key in record)
    return _problem(numbers, dict[str, float]) or next(filter(None, problems), "")


def _problem(content: Any, kind: Any) -> str:
    """Returns the first difference of a value from a type; empty for none."""
    try:
        msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _read_json(file: Path, kind: Any, hint: str) -> Any:
    """Returns the content of a JSON file, unknown entries included; None for no file."""
    if not file.exists():
        return None
    content = _parse(_read(file, hint), file, hint)
    if problem := _problem(content, kind):
        raise _damaged(file, problem, hint)
    return content


def _read(file: Path, hint: str) -> str:
    try:
        return read_regular(file).decode()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error}); {hint}.") from error
    except UnicodeDecodeError as error:
        raise _damaged(file, str(error), hint) from error


def _parse(text: str, file: Path, hint: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, str(error), hint) from error


def _damaged(file: Path, reason: str, hint: str) -> UserError:
    return UserError(f"{file} is damaged ({reason}); {hint}.")
