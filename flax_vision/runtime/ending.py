"""How a process ends when another one of its run dies."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from flax_vision.runtime import lifelines
from flax_vision.runtime.lifelines import Lines

_LAST_WORDS_SECONDS = 1.0
"""How long a process has to say what all end of, before others say that it has ended."""

_FIRST = "process 0"


class Ending:
    """Ends this process soon after another has died, with a line that says which.

    JAX notices it as well, by an error or by abort() after a page of C++. In either case that line
    is the last.

    Attributes:
      has_others: whether there are other processes.
    """

    def __init__(self, last_words: Callable[[str], None]) -> None:
        """Knows of no others yet.

        Args:
          last_words: says that a process has died, which is given as for example "process 1".
        """
        self._lines: Lines = {}
        self._is_first = False
        self.has_others = False
        self._last_words = last_words
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._has_aborted = threading.Event()
        self._dead = ""
        self._is_leaving = False

    def watch(self, lines: Lines, is_first: bool) -> None:
        """Begins to watch.

        Args:
          lines: to other processes.
          is_first: whether this is the process that JAX's service is in.
        """
        self._lines, self._is_first, self.has_others = lines, is_first, True
        lifelines.watch(lines, self._hear)
        # Python's own handler would not come to its turn. The reference keeps this one alive.
        self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._aborted)
        ctypes.CDLL(None).signal(signal.SIGABRT, self._handler)

    def leave(self, status: int, is_common: bool = False) -> int:
        """Returns the exit status; after an error it ends a process that has others at once.

        They cannot be waited for, as JAX does at an exit, when they may be dead.

        Args:
          status: 0, or that of an error.
          is_common: whether all leave together, whatever the status.
        """
        if not status or is_common or not self.has_others:
            lifelines.part(self._lines)
            return status
        self._is_leaving = True
        self._exit(status)

    def has_lost(self) -> bool:
        """Returns whether another process has died, of which an error here may come."""
        return self._known.wait(_LAST_WORDS_SECONDS)

    def lose(self, sign: str) -> NoReturn:
        """Ends this process, for another has died.

        Args:
          sign: by which that is known, should nothing better be heard meanwhile.
        """
        self._known.wait(2 * _LAST_WORDS_SECONDS)
        self._end(self._dead or f"another process ({sign})")

    def _hear(self, process: int) -> None:
        self._dead = f"process {process}"
        self._known.set()
        time.sleep(_LAST_WORDS_SECONDS)
        self._end(self._dead)

    def _aborted(self, number: int) -> None:
        del number
        self._has_aborted.set()
        self.lose("which JAX has noticed, as it says above")

    def _end(self, who: str) -> NoReturn:
        with self._lock:  # for good: there is one end only
            if self._is_leaving:
                time.sleep(3 * _LAST_WORDS_SECONDS)
            if who == _FIRST:  # in which JAX's service was: its page is being written
                self._has_aborted.wait(5 * _LAST_WORDS_SECONDS)
            try:
                self._last_words(who)
            finally:  # whether there is still someone who reads them or not
                self._exit(1)

    def _exit(self, status: int) -> NoReturn:
        if self._is_first:  # whose end ends the others, in the middle of what they say
            time.sleep(_LAST_WORDS_SECONDS)
        with contextlib.suppress(OSError, ValueError):  # for it may be closed
            sys.stdout.flush()
        os._exit(status)
