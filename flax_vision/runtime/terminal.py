"""Standard output and standard error of a program: always open, and safe for any text."""

import contextlib
import io
import os
import sys
from typing import Any, TextIO

from flax_vision.errors import UserError
from flax_vision.text import printable


def print_note(text: object) -> None:
    """Prints one line to standard error, with control characters escaped."""
    with contextlib.suppress(OSError):  # there is no other place for it
        print(printable(text), file=sys.stderr, flush=True)


def print_warning(text: object) -> None:
    """Prints one line that begins with `warning:` to standard error."""
    print_note(f"warning: {text}")


def print_error(text: object) -> None:
    """Prints one line that begins with `error:` to standard error."""
    print_note(f"error: {text}")


def configure_streams() -> bool:
    r"""Opens closed standard streams, and makes standard output fail at once.

    Otherwise a file that is opened later gets the number of a closed stream, and receives the lines
    for that stream. Characters that the encoding lacks are escaped (`\u6f22`).

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
    """The file of standard output; only the first failure to write raises an error."""

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
    """Returns a stream that writes line by line, so that `print` itself fails."""
    file = io.BufferedWriter(_Output(1, "w", closefd=False))
    return io.TextIOWrapper(file, encoding, errors="backslashreplace", line_buffering=True)


def _open_if_closed(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number
