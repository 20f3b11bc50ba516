"""Standard output and standard error of a program: always open, and safe for any text."""

import contextlib
import io
import os
import sys
import warnings
from typing import Any, TextIO

from flax_vision.errors import UserError
from flax_vision.text import printable

_is_program = False
"""Whether this process runs one of the programs; see `environment.configure_process`."""


def print_note(text: object) -> None:
    """Prints one line to standard error, with control characters escaped."""
    with contextlib.suppress(OSError):  # there is no other stream to report the failure on
        print(printable(text), file=sys.stderr, flush=True)


def print_warning(text: object) -> None:
    """Prints one line that begins with `warning:` to standard error."""
    print_note(f"warning: {text}")


def warn(text: str, stacklevel: int = 2) -> None:
    """Warns about a problem that this package works around.

    A program prints one line. Library callers get Python's warning, which they can filter.

    Args:
      text: The warning.
      stacklevel: Stack level of the blamed line, as in `warnings.warn`.
    """
    if _is_program:
        print_warning(text)
    else:
        warnings.warn(text, stacklevel=stacklevel + 1)


def print_own_warnings() -> None:
    """Makes `warn` print one line each; warnings of other libraries keep Python's form."""
    global _is_program
    _is_program = True


def print_error(text: object) -> None:
    """Prints one line that begins with `error:` to standard error."""
    print_note(f"error: {text}")


def configure_streams() -> bool:
    r"""Opens closed standard streams, and makes failed writes to standard output raise at once.

    The next opened file would get the number of a closed stream, and receive its lines.
    Characters that the encoding lacks are escaped (`\u6f22`).

    Returns:
      Whether standard output was open.
    """
    was_open = sys.__stdout__ is not None
    for number in range(3):
        _open_if_closed(number)
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:  # not a notebook's
        sys.stdout = _output(sys.stdout.encoding if sys.stdout else "utf-8")
    return was_open


class _Output(io.FileIO):
    """The file of standard output; only the first failed write raises an error."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise
            raise UserError(
                f"standard output cannot be written ({error.strerror}); make room, or redirect it "
                "to another file or to /dev/null."
            ) from error


def _output(encoding: str) -> TextIO:
    """Returns a stream that writes each line at once, so a failed write raises in `print`."""
    file = io.BufferedWriter(_Output(1, "w", closefd=False))
    return io.TextIOWrapper(file, encoding, errors="backslashreplace", line_buffering=True)


def _open_if_closed(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number
