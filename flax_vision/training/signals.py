"""Handlers of Ctrl-C and SIGTERM, which end a process at once or after a step."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from flax_vision.runtime.environment import handle_ctrl_c

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CLEAR_LINE_AND_SHOW_CURSOR = b"\r\x1b[2K\x1b[?25h"

SIGNALED = 128
"""Base of the exit status after a signal; the signal's number is added."""

RESUME_ADVICE = "Give the same command again to resume."
"""End of the message of a stopped run, for the command line."""


def stop_at_once_on_ctrl_c() -> None:
    """Makes Ctrl-C end this process at once; see `environment.handle_ctrl_c`.

    Python's own handler raises an exception. JAX's callback of the garbage collector swallows it.
    """
    handle_ctrl_c(_stop_at_once)


def _stop_at_once(number: int, frame: FrameType | None) -> None:
    del frame
    with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError):  # closed, or busy
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        if os.isatty(1):
            os.write(1, _CLEAR_LINE_AND_SHOW_CURSOR)
        os.write(1, b"stopped at once; the same command resumes from what is saved\n")
    os._exit(SIGNALED + number)


class Interrupted(Exception):  # noqa: N818 - not an error
    """Raised when a signal stops a run, after its state, if any, is saved.

    Attributes:
      signal: Signal that asked the run to stop.
      is_common: Whether all processes of the run raise it together.
    """

    def __init__(self, number: signal.Signals, message: str, is_common: bool = False) -> None:
        super().__init__(message)
        self.signal = number
        self.is_common = is_common

    @property
    def exit_status(self) -> int:
        """Exit status of a program that the signal stopped."""
        return SIGNALED + self.signal


class Interruption:
    """Context in which the first Ctrl-C or SIGTERM is remembered, and the second acts at once.

    Signals that were ignored before, as in a background job, stay ignored. Outside the main thread
    Python allows no new handlers, so all signals keep their old ones.

    Attributes:
      signal: First signal; None before it.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._is_reading = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        is_main = threading.current_thread() is threading.main_thread()
        handled = _SIGNALS if is_main else ()
        active = [number for number in handled if signal.getsignal(number) != signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._remember) for number in active}
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Context for reading data: inside it a signal stops even a blocked reader.

        JAX's callback of the garbage collector can swallow the exception. Then Python prints
        nothing about it, and `stop_reading` raises it again.
        """
        self._is_reading, hook = True, sys.unraisablehook

        def report_others(lost: Any) -> None:
            if not isinstance(lost.exc_value, Interrupted):
                hook(lost)

        sys.unraisablehook = report_others
        try:
            yield
        finally:
            self._is_reading, sys.unraisablehook = False, hook

    def request_stop(self) -> None:
        """Asks the run to save its state and stop, as SIGTERM does."""
        self.signal = self.signal or signal.SIGTERM

    def stop_reading(self) -> None:
        """Raises `Interrupted` if a signal was received; there is nothing to save yet."""
        if self.signal is not None:
            message = f"stopped by {self.signal.name} while reading the data; nothing is lost"
            raise Interrupted(self.signal, message)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.signal = signal.Signals(number)
        self._restore()
        if self._is_reading:
            self.stop_reading()
        # print() is not reentrant.
        with contextlib.suppress(OSError):  # a full disk must not prevent the save
            os.write(2, b"stopping after this step; press Ctrl-C again to stop at once\n")

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
