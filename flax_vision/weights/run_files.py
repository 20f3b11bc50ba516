"""The JSON files of a run directory, read with their types checked."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict

from flax_vision.errors import UserError, naming

CONFIG = "config.json"
STARTS = "starts.json"
IMAGES = "images.json"
RESULT = "result.json"
METRICS = "metrics.jsonl"
METADATA = "model_metadata.json"
REPORT_PAGE = "report/index.html"

Records = Sequence[Mapping[str, Any]]
"""The objects in `metrics.jsonl`: one for each epoch, and a last one with the test."""

RESTORE = "restore it as the run wrote it"
"""The hint for a file that nothing else can replace."""

_PARTS = ("train", "validation", "test")

_LARGEST = 2**63

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}

_CONFIG_TYPES = {
    "epochs": int,
    "batch_size": int,
    "loss.name": str,
    "augmentation.flip": bool,
    "data.name": str,
    "data.directory": str,
    "data.path": str,
    "data.validation": float,
    "data.test": float,
    "data.on_error": str,
    "data.threads": int,
}
"""Types of the configuration's values that other programs than the trainer use."""

_RESULT_TYPES = {
    **{"step": int, "best/epoch": int, "test/images": int, "test/top1": float},
    **{"test/loss": float, "seconds": float, "waiting": float},
}

_START_TYPES = {
    **{"time": str, "host": str, "python": str, "platform": str},
    **{"devices": list, "command": list, "libraries": dict},
}
"""Types of a start's entries; `git_revision` may be unknown."""


def read_config(path: Path, hint: str = RESTORE) -> dict[str, Any]:
    """Returns the configuration in a run directory; empty where there is none.

    Args:
      path: The run directory.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file cannot be read or is damaged.
    """
    file = path / CONFIG
    config: dict[str, Any] | None = _read_json(file, dict, hint)
    if config is None:
        return {}
    flat = flatten_dict(config, keep_empty_nodes=True, sep=".")
    groups = {key.partition(".")[0] for key in _CONFIG_TYPES if "." in key}
    wrong = [] if config else ["it is empty"]
    wrong += [
        f"{group} is not an object"
        for group in groups
        if not isinstance(config.get(group, {}), dict)
    ]
    present = {key: kind for key, kind in _CONFIG_TYPES.items() if key in flat}
    wrong += _mismatches(flat, present) or _out_of_range(flat, present)
    if wrong:
        raise _damaged(file, wrong[0], hint)
    return config


def read_starts(path: Path, hint: str) -> list[dict[str, Any]]:
    """Returns the entries of `starts.json` in a run directory; none where it is missing.

    Args:
      path: The run directory.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file cannot be read or is damaged.
    """
    file = path / STARTS
    starts: list[dict[str, Any]] = _read_json(file, list, hint) or []
    for number, start in enumerate(starts, 1):
        wrong = _mismatches(start, _START_TYPES)
        if not wrong and not _is_text([*start["devices"], *start["command"]]):
            wrong = ["devices or command has an entry that is not a text"]
        if wrong:
            raise _damaged(file, f"start {number}: {wrong[0]}", hint)
    return starts


def read_images(path: Path, hint: str) -> dict[str, Any] | None:
    """Returns the identities of a run's images; None where the run has none.

    Args:
      path: The run directory.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file cannot be read or is damaged.
    """
    file = path / IMAGES
    parts: dict[str, Any] | None = _read_json(file, dict, hint)
    if parts is None:
        return None
    for part in _PARTS:
        classes = parts.get(part)
        if not isinstance(classes, dict) or not all(map(_is_identity, classes.values())):
            raise _damaged(file, f"{part} has no number and digest for each class", hint)
    return parts


def read_result(path: Path, hint: str) -> dict[str, Any] | None:
    """Returns the result of a finished run; None where the run is not finished.

    Args:
      path: The run directory.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file cannot be read or is damaged.
    """
    result: dict[str, Any] | None = _read_json(path / RESULT, dict, hint)
    if result is not None and (wrong := result_problem(result)):
        raise _damaged(path / RESULT, wrong, hint)
    return result


def result_problem(result: Mapping[str, Any]) -> str:
    """Returns the first fault in the result of a run; empty for none."""
    wrong = _mismatches(result, _RESULT_TYPES) or _mismatches(result, dict.fromkeys(result, float))
    wrong = wrong or [
        f"{key} is {result[key]}" for key in _RESULT_TYPES if not _is_real(result[key])
    ]
    return wrong[0] if wrong else ""


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
        wrong = _record_problem(record)
        if wrong:
            raise _damaged(file, f"line {number}: {wrong}", hint)
        records.append(record)
    return records


def to_json(content: Any) -> str:
    """Returns the text of a JSON file."""
    return json.dumps(content, indent=2) + "\n"


def write_file(path: Path, text: str) -> None:
    """Replaces a file so that a kill leaves the old one or the new one, never half of one."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with naming(path), unfinished.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _record_problem(record: Any) -> str:
    if not isinstance(record, dict):
        return "it is not an object"
    types: dict[str, type] = {"epoch": int, "seconds": float} if "epoch" in record else {}
    if "best/epoch" in record:
        types["best/epoch"] = int
    wrong = _mismatches(record, types) or _mismatches(record, dict.fromkeys(record, float))
    wrong = wrong or [f"{key} is {record[key]}" for key in types if not _is_real(record[key])]
    return wrong[0] if wrong else ""


def _is_identity(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and _is_kind(value[0], int)
        and isinstance(value[1], str)
    )


def _is_real(value: float) -> bool:
    return -_LARGEST < value < _LARGEST


def _is_text(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_kind(value: Any, kind: type) -> bool:
    """Returns whether a value of JSON has a type; a whole number is a number too."""
    if kind in (int, float):
        is_number = type(value) is int and _is_real(value)
        return is_number or (kind is float and type(value) is float)
    return isinstance(value, kind)


def _mismatches(found: Any, types: Mapping[str, type]) -> list[str]:
    """Returns a text for each value that is missing or of another type."""
    if not isinstance(found, dict):
        return ["it is not an object"]
    return [
        f"{key} is not {_KINDS[kind]}" if key in found else f"it has no {key}"
        for key, kind in types.items()
        if key not in found or not _is_kind(found[key], kind)
    ]


def _out_of_range(flat: Mapping[str, Any], types: Mapping[str, type]) -> list[str]:
    """Returns a text for each share that is not from 0 to 1, and each negative number."""
    most = {int: 2**31 - 1, float: 1}
    return [
        f"{key} is {flat[key]}"
        for key, kind in types.items()
        if kind in most and not 0 <= flat[key] <= most[kind]
    ]


def _read_json(file: Path, kind: type, hint: str) -> Any:
    """Returns the content of a file, None where there is no file."""
    if not file.exists():
        return None
    content = _parse(_read(file, hint), file, hint)
    if not isinstance(content, kind):
        raise _damaged(file, f"it is not {_KINDS[kind]}", hint)
    return content


def _read(file: Path, hint: str) -> str:
    try:
        return file.read_text("utf-8")
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
