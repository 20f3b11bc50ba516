"""Mistakes of the user's, as one line that helps."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class UserError(ValueError):
    """What a user got wrong: the message names the value, what is valid, and what to do next.

    The programs print it as one line and leave with exit status 2.
    """


@contextlib.contextmanager
def add_file_name(name: object) -> Iterator[None]:
    """Adds the name of a file to errors of the system that have none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(name)
        raise


def unknown(kind: str, name: object, valid: Iterable[str], renamed: str = "") -> UserError:
    """Returns the error for a name that is not among `valid`, with the nearest one offered.

    Args:
      kind: what is named, for example `"network"`.
      name: the name that was given.
      valid: every name that would have been right.
      renamed: Present form of an old name; empty to offer the most similar name.
    """
    valid = sorted(valid)
    nearest = [renamed] if renamed else difflib.get_close_matches(str(name), valid, 1, 0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    listed = ", ".join(valid) if valid else "none"
    return UserError(f"unknown {kind} {str(name)!r}{hint} Valid: {listed}.")
