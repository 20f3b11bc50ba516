"""The processes of one run, and what they agree on.

Every process runs the same program on its own devices, and JAX's runtime joins these to one mesh.
What only one of them may do, or know by its own clock, they agree on here.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from flax_vision.errors import UserError

_Result = TypeVar("_Result")


def count() -> int:
    """Returns how many processes the run has."""
    return jax.process_count()


def is_first() -> bool:
    """Returns whether this is the process that writes and shows what there is one of."""
    return jax.process_index() == 0


def agreed(*asked: int) -> tuple[int, ...]:
    """Returns the largest that any process asks for, of each number; called by all at once."""
    if count() == 1:
        return asked
    rows = multihost_utils.process_allgather(np.array(asked, np.int32))
    return tuple(rows.max(axis=0).tolist())


def gathered(text: str) -> list[str]:
    """Returns what each process says, the first's first; called by all at once."""
    if count() == 1:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)
    (longest,) = agreed(len(own))
    rows = multihost_utils.process_allgather(np.pad(own, (0, longest + 1 - len(own))))
    return [row.tobytes().rstrip(b"\0").decode() for row in rows]


def first_only(function: Callable[[], _Result]) -> _Result | None:
    """Has the first process do something, for which the others wait; called by all at once.

    Returns:
      The result in the first process, None in the others.

    Raises:
      UserError: it was one in the first process, or an OSError, for which the others raise this.
    """
    result, failure = None, None
    if is_first():
        try:
            result = function()
        except (UserError, OSError) as error:
            failure = error
    told = gathered(str(failure or ""))[0]
    if failure:
        raise failure
    if told:
        raise UserError(told)
    return result


def check_same(
    settings: Mapping[str, Any],
    what: str = "one configuration",
    mend: str = "Start all with the same command, but for --process_id.",
) -> None:
    """Raises a UserError in every process unless all have the same settings.

    Args:
      settings: what this process has, by name.
      what: what they are together, for a person.
      mend: what to do where they differ.
    """
    texts = gathered(json.dumps(settings, sort_keys=True))
    first = json.loads(texts[0])
    for process, text in enumerate(texts):
        other = json.loads(text)
        differences = [
            f"{key} is {first.get(key)!r} in process 0 and {other.get(key)!r} in process {process}"
            for key in sorted(first | other)
            if first.get(key) != other.get(key)
        ]
        if differences:
            raise UserError(
                f"the processes of a run must have {what}: {'; '.join(differences)}. {mend}"
            )
