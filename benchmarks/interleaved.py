"""Processes that do steps when they are asked to, so that several can take turns.

What else a machine does changes from second to second. Processes that are all ready, of which one
works at a time, meet the same; those that are timed one after the other do not.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flax_vision.analysis.benchmark import peak_bytes, time_steps


def serve(step: Callable[[], Any], about: Mapping[str, Any]) -> None:
    """Prints what is told about the process; then does steps for the seconds of each line it reads.

    It answers each line with the seconds of each step, and the most memory that it has had.
    """
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        figures = {"step_seconds": time_steps(step, float(line)), "peak_bytes": peak_bytes()}
        print(json.dumps(figures), flush=True)


class Worker:
    """A process that serves.

    Attributes:
      about: what it told of itself when it was ready, and after how long that was.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], python: str = sys.executable
    ) -> None:
        """Starts it, and waits until it is ready.

        Args:
          command: Python file and its arguments.
          environment: Additional environment variables.
          python: Interpreter, with the libraries of its virtual environment.
        """
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        begun = time.monotonic()
        self._process = subprocess.Popen(
            [python, *command],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.about: dict[str, Any] = self._answer()
        self.about["ready_seconds"] = time.monotonic() - begun

    def turn(self, seconds: float) -> Any:
        """Has it do steps for that long, at least three; returns its figures."""
        assert self._process.stdin
        print(seconds, file=self._process.stdin, flush=True)
        return self._answer()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _answer(self) -> Any:
        assert self._process.stdout
        if line := self._process.stdout.readline():
            return json.loads(line)
        self._errors.seek(0)
        sys.exit(f"{' '.join(map(str, self._process.args))} failed:\n{self._errors.read()}")
