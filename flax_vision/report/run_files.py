"""What a run wrote down of itself, as its report needs it."""

import json
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from flax_vision.errors import UserError
from flax_vision.report.curves import Records

_START = {
    **{"time": str, "host": str, "python": str, "platform": str},
    **{"devices": list, "command": list, "libraries": dict},
}
"""What a start tells, and its types; `git_revision` may be unknown."""


def read_records(path: Path) -> Records:
    """Returns the objects in a run's `metrics.jsonl`: numbers by their names.

    Raises:
      UserError: it cannot be read, or is damaged.
    """
    records = [_json(line, path) for line in _text(path).splitlines()]
    for number, record in enumerate(records, 1):
        numbers = record.values() if isinstance(record, Mapping) else [None]
        if not all(isinstance(x, Real) for x in numbers):
            raise _damaged(path, f"line {number} is no object with numbers")
        if "epoch" in record and "seconds" not in record:
            raise _damaged(path, f"line {number} is of an epoch, and has no seconds")
    if not any("epoch" in record for record in records):
        raise UserError(
            f"{path} has no epoch yet, so that there is nothing to show; go on training."
        )
    return records


def read_starts(path: Path) -> Sequence[Mapping[str, Any]]:
    """Returns the objects in a run's `starts.json`.

    Raises:
      UserError: it cannot be read, or is damaged.
    """
    starts = _json(_text(path), path)
    if not isinstance(starts, list):
        raise _damaged(path, "it is no list")
    for number, start in enumerate(starts, 1):
        start = start if isinstance(start, Mapping) else {}
        wrong = [key for key, kind in _START.items() if not isinstance(start.get(key), kind)]
        if wrong or "git_revision" not in start:
            raise _damaged(path, f"start {number} has no {', '.join(wrong or ['git_revision'])}")
    return starts


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); mend it.") from error


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged ({reason}); mend it.")
