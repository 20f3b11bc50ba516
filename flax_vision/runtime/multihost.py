"""Collectives for values on the host: maxima, texts and checks among the processes of a run.

All processes must call them at the same point. A single process needs no communication.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from flax_vision.errors import UserError

_Result = TypeVar("_Result")


def process_count() -> int:
    """Returns the number of processes in the run."""
    return jax.process_count()


def is_primary() -> bool:
    """Returns whether this process writes the run's files and prints its progress."""
    return jax.process_index() == 0


def all_max(*values: int) -> tuple[int, ...]:
    """Returns the maximum over all processes, for each value."""
    if process_count() == 1:
        return values
    rows = multihost_utils.process_allgather(np.array(values, np.int32))
    return tuple(rows.max(axis=0).tolist())


def all_gather_text(text: str) -> list[str]:
    """Returns the texts of all processes, in their order."""
    if process_count() == 1:
        return [text]
    data = np.frombuffer(text.encode(), np.uint8)
    (longest,) = all_max(len(data))
    rows = multihost_utils.process_allgather(np.pad(data, (0, longest + 1 - len(data))))
    return [row.tobytes().rstrip(b"\0").decode() for row in rows]


def primary_only(function: Callable[[], _Result]) -> _Result | None:
    """Calls a function in the primary process, for which the others wait.

    Returns:
      The result in the primary process, None in the others.

    Raises:
      UserError: The function raised it, or an OSError that the others raise as a UserError.
    """
    result, failure = None, None
    if is_primary():
        try:
            result = function()
        except (UserError, OSError) as error:
            failure = error
    message = all_gather_text(str(failure or ""))[0]
    if failure:
        raise failure
    if message:
        raise UserError(message)
    return result


def check_same(
    settings: Mapping[str, Any],
    what: str = "one configuration",
    hint: str = "Start all with the same command, except for --process-id.",
) -> None:
    """Raises a UserError in every process unless all have the same settings.

    Args:
      settings: Settings of this process, by name.
      what: Name of the settings together.
      hint: Sentence about what to do where they differ.
    """
    texts = all_gather_text(json.dumps(settings, sort_keys=True))
    first = json.loads(texts[0])
    for process, other in enumerate(map(json.loads, texts)):
        differences = [
            f"{key} is {first.get(key)!r} in process 0 and {other.get(key)!r} in process {process}"
            for key in sorted(first | other)
            if first.get(key) != other.get(key)
        ]
        if differences:
            raise UserError(
                f"the processes of a run must have {what}: {'; '.join(differences)}. {hint}"
            )
