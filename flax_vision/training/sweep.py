"""Sweeps: runs over settings and seeds, one after the other in one process."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flax_vision.errors import UserError
from flax_vision.runtime.files import to_path
from flax_vision.training import finished_run, sweep_directory
from flax_vision.training.config_loader import build_config
from flax_vision.training.fit import fit
from flax_vision.training.progress import TrainingObserver
from flax_vision.training.signals import Interrupted
from flax_vision.training.sweep_plan import Settings, SweepRun, plan_sweep
from flax_vision.weights import run_files


class SweepObserver:
    """Receives the progress of a sweep; this base class prints warnings and nothing else."""

    def start(self, runs: Sequence[SweepRun]) -> None:
        """Receives all runs before the first one begins; finished ones have their result."""

    @contextlib.contextmanager
    def running(self, number: int, run: SweepRun, config: ConfigDict) -> Iterator[TrainingObserver]:
        """Context of a run; yields the observer of its training.

        Args:
          number: Number of the run, from 1.
          run: The run.
          config: Checked configuration of the run.
        """
        del number, run, config
        yield TrainingObserver()

    def end(self, number: int, run: SweepRun, error: Exception | None) -> None:
        """Receives a run at its end.

        Args:
          number: Number of the run, from 1.
          run: The run, with its result or its error.
          error: Error that ended the run; None for a finished run.
        """


def run_sweep(
    config: str | Mapping[str, Any] | ConfigDict,
    settings: Settings,
    seeds: Sequence[int],
    workdir: str | Path,
    observer: SweepObserver | None = None,
    overrides: Mapping[str, Any] | None = None,
    stop_at_failure: bool = False,
) -> list[SweepRun]:
    """Trains each setting with each seed, and returns the runs with their results.

    ```python
    grid = {"model.name": ["resnet20", "resnet32"], "schedule.lr": [0.1, 0.05]}
    runs = run_sweep("resnet20:cifar10", grid, seeds=[0, 1, 2], workdir="runs/sweep")
    ```

    A run has a directory such as `workdir/model.name=resnet20,schedule.lr=0.1,seed=0`. The same
    call resumes a stopped sweep: finished runs are not trained again, and an unfinished run
    resumes. With other settings or seeds, only the missing runs are trained. If a run fails, its
    error is recorded, and the others still run. Each run updates `workdir/sweep.json`.

    Args:
      config: Config file and recipe such as `"resnet20:cifar10"`, or keys that differ from the
        defaults. A setting `model.name` is passed to the config file, as on the command line.
      settings: Settings by dotted key, one mapping for each group of runs; or a grid, the list of
        values of each key. `[{}]` changes only the seed.
      seeds: Seeds of each group.
      workdir: Directory of the sweep.
      observer: Receiver of the progress; None for warnings only.
      overrides: Keys to change in `config` for all runs.
      stop_at_failure: Whether no run follows one that fails.

    Returns:
      All runs: the groups in the order of `settings`, each with its seeds.

    Raises:
      UserError: A setting is not valid, two runs would have the same directory, or the directory
        belongs to another sweep. No run has started then.
      Interrupted: Ctrl-C or SIGTERM arrived; the state of the current run was saved.
    """
    path, observer = to_path(workdir), observer or SweepObserver()
    planned = plan_sweep(config, settings, seeds, path, overrides)
    with sweep_directory.open_sweep(path, planned, _base(config, overrides)) as directory:
        return _run_all(planned, directory, observer, stop_at_failure)


def _run_all(
    planned: Sequence[tuple[SweepRun, ConfigDict]],
    directory: sweep_directory.SweepDirectory,
    observer: SweepObserver,
    stop_at_failure: bool,
) -> list[SweepRun]:
    runs = [dataclasses.replace(run, result=read_result(run.workdir)) for run, _ in planned]
    directory.write(runs)
    observer.start(runs)
    for index, (_, config) in enumerate(planned):
        if runs[index].result is None:
            runs[index] = _train(index + 1, runs[index], config, observer)
            directory.write(runs)
            if runs[index].error and stop_at_failure:
                break
    return runs


def read_result(workdir: Path) -> dict[str, Any] | None:
    """Returns the result of a run that an earlier call has finished, else None."""
    has_result = (workdir / run_files.RESULT).exists()
    return finished_run.read_finished(workdir) if has_result else None


def _base(
    config: str | Mapping[str, Any] | ConfigDict, overrides: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Returns the common configuration; empty if it is invalid without the settings."""
    with contextlib.suppress(UserError):
        return build_config(config, overrides).to_dict()
    return {}


def _train(number: int, run: SweepRun, config: ConfigDict, observer: SweepObserver) -> SweepRun:
    failure: Exception | None = None
    try:
        with observer.running(number, run, config) as training:
            run = dataclasses.replace(run, result=fit(config, run.workdir, training))
    except Interrupted:
        raise
    except Exception as error:
        failure = error
        run = dataclasses.replace(run, error=_first_line(error))
    observer.end(number, run, failure)
    return run


def _first_line(error: Exception) -> str:
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return kind + next(iter(str(error).strip().splitlines()), "no message")
