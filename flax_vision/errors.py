"""Errors that a user can correct, as one helpful line."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class UserError(ValueError):
    """A mistake of the user. The message names the value, the valid values and the next action.

    The programs print it as one line and exit with status 2.
    """


@contextlib.contextmanager
def add_file_name(name: object) -> Iterator[None]:
    """Adds a file name to system errors that have none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(name)
        raise


def unknown(kind: str, name: object, valid: Iterable[str], renamed: str = "") -> UserError:
    """Returns the error for an unknown name; it offers the nearest valid one.

    Args:
      kind: Kind of the name, for example `"model"`.
      name: The unknown name.
      valid: All valid names.
      renamed: Present form of an old name; empty to offer the most similar name.
    """
    valid = sorted(valid)
    nearest = [renamed] if renamed else difflib.get_close_matches(str(name), valid, 1, 0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    return UserError(f"unknown {kind} {str(name)!r}{hint} Valid: {', '.join(valid) or 'none'}.")
