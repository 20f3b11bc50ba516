"""The progress of the runs of an experiment, on standard error."""

import contextlib
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from flax_vision.cli.training_display import TrainingDisplay, format_duration
from flax_vision.data.dataset import Dataset
from flax_vision.errors import UserError
from flax_vision.runtime.terminal import print_note
from flax_vision.training.progress import TrainingObserver
from flax_vision.training.sweep import SweepObserver
from flax_vision.training.sweep_plan import SweepRun


class RunDisplay(TrainingDisplay):
    """The progress of a run, with one line in place of the table of its result."""

    def result(
        self, title: str, result: Mapping[str, Any], export: Path, test_images: Dataset | None
    ) -> None:
        """Prints the test accuracy of a finished run."""
        del export
        self.test_images = test_images
        self.line(f"{title}: test top-1 {result['test/top1']:.2%}")


class ExperimentDisplay(SweepObserver):
    """A line for each run with the time left, and the progress of the run."""

    def start(self, runs: Sequence[SweepRun]) -> None:
        """Receives all runs before the first one begins."""
        self._began, self._count, self._trained = time.monotonic(), len(runs), 0
        self._left = sum(run.result is None for run in runs)

    @contextlib.contextmanager
    def running(self, number: int, run: SweepRun, config: ConfigDict) -> Iterator[TrainingObserver]:
        """Prints which run begins, and yields its display."""
        del config
        left = ""
        if self._trained:
            seconds = (time.monotonic() - self._began) / self._trained * self._left
            left = f", about {format_duration(seconds)} left"
        print_note(f"run {number} of {self._count}: {run.workdir.name}{left}")
        with RunDisplay(Console(stderr=True, highlight=False, markup=False)) as display:
            yield display

    def end(self, number: int, run: SweepRun, error: Exception | None) -> None:
        """Counts a run, and prints the traceback of an unexpected error."""
        del number, run
        self._trained, self._left = self._trained + 1, self._left - 1
        if error is not None and not isinstance(error, UserError | OSError):
            traceback.print_exception(error)
