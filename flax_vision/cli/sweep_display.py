"""The progress of a sweep on the terminal."""

import contextlib
import statistics
import time
import traceback
from collections.abc import Iterator, Sequence

from ml_collections import ConfigDict
from rich.console import Console

from flax_vision.cli.train import write_report
from flax_vision.cli.training_display import TrainingDisplay, format_duration
from flax_vision.errors import UserError
from flax_vision.runtime.terminal import print_error, print_note
from flax_vision.text import counted
from flax_vision.training.sweep import SweepObserver
from flax_vision.training.sweep_plan import SweepRun


class SweepDisplay(SweepObserver):
    """Lines about the runs on standard error, and the live line of the current run."""

    def __init__(self) -> None:
        self._finished: set[str] = set()
        self._seconds: dict[str, list[float]] = {}
        self._runs: Sequence[SweepRun] = ()

    def start(self, runs: Sequence[SweepRun]) -> None:
        """Prints the number of runs, and how many are finished."""
        self._runs = runs
        self._finished = {run.workdir.name for run in runs if run.result is not None}
        settings = counted(len({_settings(run) for run in runs}), "setting")
        print_note(f"{settings}, {counted(len(runs), 'run')} in {runs[0].workdir.parent}")
        if self._finished:
            print_note(self.describe_finished())

    @contextlib.contextmanager
    def running(self, number: int, run: SweepRun, config: ConfigDict) -> Iterator[TrainingDisplay]:
        """Prints the number of a run and the time left, and shows the run."""
        title, began = f"run {number} of {len(self._runs)}", time.monotonic()
        print_note(f"{title}: {run.workdir.name}{self._time_left(number)}")
        with _RunDisplay(title) as display:
            yield display
            if config.write_report:
                write_report(run.workdir, display)
        self._seconds.setdefault(_settings(run), []).append(time.monotonic() - began)

    def end(self, number: int, run: SweepRun, error: Exception | None) -> None:
        """Prints the error of a failed run."""
        if error is None:
            self._finished.add(run.workdir.name)
            return
        if not isinstance(error, UserError | OSError):
            traceback.print_exception(error)
        print_error(f"run {number} of {len(self._runs)}, {run.workdir.name}: {run.error}")

    def describe_finished(self) -> str:
        """Returns a clause about the finished runs."""
        return f"{len(self._finished):,} of {counted(len(self._runs), 'run')} finished and kept"

    def _time_left(self, number: int) -> str:
        """Returns the time for the runs from `number` on; empty before the first run's end.

        A run takes the mean time of the runs of its setting, or of all runs.
        """
        if not self._seconds:
            return ""
        everything = statistics.fmean(x for values in self._seconds.values() for x in values)
        means = {key: statistics.fmean(values) for key, values in self._seconds.items()}
        left = sum(
            means.get(_settings(run), everything)
            for run in self._runs[number - 1 :]
            if run.workdir.name not in self._finished
        )
        return f"; about {format_duration(left)} left"


class _RunDisplay(TrainingDisplay):
    """The display of a run, whose live line begins with its number."""

    def __init__(self, title: str) -> None:
        super().__init__(Console(stderr=True, highlight=False, markup=False))
        self._title = title

    def _show(self, what: str, done: int, total: int, status: str) -> None:
        super()._show(f"{self._title}, {what}", done, total, status)


def _settings(run: SweepRun) -> str:
    """Returns the settings of a run as a key."""
    return run.workdir.name.rpartition("seed=")[0]
