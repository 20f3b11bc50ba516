"""The directory of a sweep: its lock, its earlier runs, and `sweep.json`."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
from ml_collections import ConfigDict

from flax_vision.errors import UserError
from flax_vision.runtime import multihost
from flax_vision.training import run_lock
from flax_vision.training.config_schema import DATA_PATHS, default_config, flatten
from flax_vision.training.resume_check import CHANGEABLE_KEYS, check_same_run
from flax_vision.training.sweep_plan import SweepRun
from flax_vision.training.sweep_summary import summarize
from flax_vision.weights import run_files

SWEEP = "sweep.json"
"""File with the runs of a sweep and the summary of each setting."""

_LOCK = "sweep.lock"
_FORMAT = 1
_PER_CLASS = "test/per_class"
"""Entry of a result that `SWEEP` leaves out."""


class SweepDirectory:
    """The directory of a sweep that is running.

    Attributes:
      path: The directory.
    """

    def __init__(self, path: Path, base: Mapping[str, Any]) -> None:
        self.path = path
        self._base = base

    def write(self, runs: Sequence[SweepRun]) -> None:
        """Writes `sweep.json`."""
        content = {
            "format": _FORMAT,
            "config": self._base,
            "runs": [_record(run) for run in runs],
            "settings": summarize(runs),
        }
        run_files.write_file(self.path / SWEEP, run_files.to_json(content))


def _record(run: SweepRun) -> dict[str, Any]:
    result = run.result and {key: x for key, x in run.result.items() if key != _PER_CLASS}
    return {
        "directory": run.workdir.name,
        "settings": run.settings,
        "seed": run.seed,
        "status": "finished" if run.result else "failed" if run.error else "unfinished",
        "error": run.error,
        "result": result,
    }


@contextlib.contextmanager
def open_sweep(
    path: Path, planned: Sequence[tuple[SweepRun, ConfigDict]], base: Mapping[str, Any]
) -> Iterator[SweepDirectory]:
    """Opens the directory of a sweep, and creates it if it does not exist.

    Args:
      path: The directory.
      planned: All runs, with their configurations.
      base: Common configuration of the runs, as nested dictionaries; empty if unknown.

    Raises:
      UserError: The directory cannot be written, is in use, or belongs to another sweep.
    """
    if multihost.process_count() > 1:
        raise UserError("a sweep runs in one process; use train.py for a run of several processes.")
    run_lock.check_wildcards(path)
    swept = {key for run, _ in planned for key in run.settings}
    _check_same_sweep(path, base, swept)
    for run, config in planned:
        _check_run(run, config)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path / _LOCK).acquire(timeout=0):
            yield SweepDirectory(path, base)
    except filelock.Timeout as error:
        raise UserError(
            f"{str(path)!r} is in use by another sweep; wait for it, or give another --workdir."
        ) from error


def _check_same_sweep(path: Path, base: Mapping[str, Any], swept: set[str]) -> None:
    """Raises a UserError if a directory is not empty and belongs to no sweep, or to another."""
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"{str(path)!r} is a file; give another --workdir.")
    file = path / SWEEP
    if not file.exists():
        if any(child.name != _LOCK for child in path.iterdir()):
            raise UserError(
                f"{str(path)!r} is not empty and has no {SWEEP}, so it belongs to no sweep; give "
                "another --workdir."
            )
        return
    saved = _read_base(file)
    if saved and base:
        _check_same_base(path, saved, base, swept)


def _read_base(file: Path) -> dict[str, Any]:
    """Returns the common configuration in `sweep.json`."""
    try:
        content = json.loads(file.read_text("utf-8"))
        found, base = content["format"], dict(content["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is damaged ({error}); delete it to continue with the runs beside it."
        ) from error
    if found != _FORMAT:
        raise UserError(
            f"{file} is of {run_files.other_version(found, _FORMAT)}; give another --workdir."
        )
    return base


def _check_same_base(
    path: Path, saved: Mapping[str, Any], base: Mapping[str, Any], swept: set[str]
) -> None:
    defaults = flatten(default_config())
    old, new = json.loads(json.dumps([defaults | flatten(saved), defaults | flatten(base)]))
    ignored = {*CHANGEABLE_KEYS, *DATA_PATHS, "seed", *swept}
    texts = [
        f"{key} is {old.get(key)!r} there and {new.get(key)!r} now"
        for key in sorted((old | new).keys() - ignored)
        if old.get(key) != new.get(key)
    ]
    if texts:
        raise UserError(
            f"{str(path)!r} belongs to another sweep: {'; '.join(texts)}. Give another --workdir."
        )


def _check_run(run: SweepRun, config: ConfigDict) -> None:
    """Raises a UserError if the directory of a run belongs to another configuration."""
    if not run_lock.has_progress(run.workdir):
        return
    hint = f"{run_files.RESTORE}, or give another --workdir"
    saved = run_files.read_config(run.workdir, hint)
    change = check_same_run(run.workdir, saved, config.to_dict())
    if change is not None:
        texts = [
            f"{key} is {old!r} there and {new!r} now" for key, (old, new) in change.changes.items()
        ]
        raise UserError(
            f"run directory {str(run.workdir)!r} belongs to another sweep: {'; '.join(texts)}. "
            "Give another --workdir."
        )
