"""Worker processes that run steps on request, so that several can take turns.

The load of a machine changes from second to second. Processes that take turns meet the same load;
processes that are timed one after the other do not.
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
    """Prints `about`, and then runs steps for the number of seconds in each line of its input.

    The answer to a line has the seconds of each step and the peak memory of the process.

    Args:
      step: Function that runs one step, and returns when it has ended.
      about: Description of the process.
    """
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        figures = {"step_seconds": time_steps(step, float(line)), "peak_bytes": peak_bytes()}
        print(json.dumps(figures), flush=True)


class Worker:
    """A process that calls `serve`.

    Attributes:
      about: Description from the process, with the seconds from its start as `ready_seconds`.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], python: str = sys.executable
    ) -> None:
        """Starts the process, and waits for its description.

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
        """Runs at least three steps, for about `seconds`, and returns their figures."""
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
