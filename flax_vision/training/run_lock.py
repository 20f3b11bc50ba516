"""Claim of a run directory by one run: its lock, its configuration and its launch records."""

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from flax_vision.errors import UserError
from flax_vision.runtime import multihost
from flax_vision.runtime.files import read_regular
from flax_vision.runtime.terminal import print_warning
from flax_vision.training.config_schema import INIT_FROM, flatten
from flax_vision.training.launches import describe_launch
from flax_vision.training.resume_check import CONTINUED_SECTIONS, Continuation, check_same_run
from flax_vision.training.rollback import LOCK, Rollback
from flax_vision.weights import run_files
from flax_vision.weights.run_checkpoints import saved_steps

_VISIBLE_SECONDS = 60.0
"""Time after which NFS shows new files."""


class Launch(NamedTuple):
    """A recorded launch of a run.

    Attributes:
      original: Configuration with which the run began or last continued.
      continuation: Changed settings with which it continues now; None for none.
      rescheduled_at: Step at which the present schedule began; None for the first step.
    """

    original: Mapping[str, Any]
    continuation: Continuation | None = None
    rescheduled_at: int | None = None


def lock_run(path: Path, config: Mapping[str, Any], stack: contextlib.ExitStack) -> Launch:
    """Locks a run directory until the stack is closed, and records the launch in it.

    Args:
      path: Run directory, which need not exist.
      config: Configuration as nested dictionaries.
      stack: Stack that gets the release of the lock and the rollback of a failed start.

    Raises:
      UserError: The directory is not writable, in use, or of another configuration.
    """
    try:
        check_wildcards(path)
        lock, rollback = filelock.FileLock(path / LOCK), Rollback(path)
        stack.callback(rollback.remove_new_folders)
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        stack.callback(lock.release)
        stack.enter_context(rollback)
        return _record_launch(path, config)
    except filelock.Timeout as error:
        raise _in_use(path) from error
    except OSError as error:
        raise UserError(
            f"run directory {str(path)!r} cannot be written ({error.strerror}); give another "
            "--workdir."
        ) from error


def check_shared(path: Path) -> None:
    """Raises a UserError unless every process sees the launch that the first has recorded."""
    expected = multihost.all_gather_text(_launches_digest(path))[0]
    deadline = time.monotonic() + _VISIBLE_SECONDS
    while _launches_digest(path) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    for process, digest in enumerate(multihost.all_gather_text(_launches_digest(path))):
        if digest != expected:
            raise UserError(
                f"process {process} does not see run directory {str(path)!r} of process 0; it must "
                "be on a disk that all share: give such a --workdir."
            )


def has_progress(path: Path) -> bool:
    """Returns whether the directory has a checkpoint or a result, which must not be lost."""
    return bool(saved_steps(path)) or (path / run_files.RESULT).exists()


def check_wildcards(path: Path) -> None:
    """Raises a UserError for a new run directory with wildcards in its path."""
    wildcards = sorted(set(str(path.absolute())) & set("[]*?\\"))
    if wildcards and not has_progress(path):
        raise UserError(
            f"run directory {str(path.absolute())!r} has {' '.join(wildcards)} in its path, which "
            "prevents Orbax from finding the checkpoints again; give another --workdir."
        )


def _launches_digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular(path / run_files.LAUNCHES)).hexdigest()
    except OSError:
        return ""


def _in_use(path: Path) -> UserError:
    launches: list[dict[str, Any]] = []
    with contextlib.suppress(UserError):  # the file only names the other run
        launches = run_files.read_launches(path, "")
    owner = f", process {launches[-1].get('process')} on {launches[-1]['host']}" if launches else ""
    return UserError(
        f"run directory {str(path)!r} is in use by another run{owner}; wait for it, or give "
        "another --workdir."
    )


def _record_launch(path: Path, config: Mapping[str, Any]) -> Launch:
    """Compares and writes `config.json`, and adds the launch to `launches.json`."""
    original, continuation = config, None
    if has_progress(path):
        original = run_files.read_config(path, f"{run_files.RESTORE}, or give another --workdir")
        if not original:
            raise UserError(
                f"run directory {str(path)!r} has checkpoints but no {run_files.CONFIG}, so their "
                "configuration is unknown; give another --workdir."
            )
        continuation = check_same_run(path, original, config)
    # Changed settings take effect only when the run resumes.
    fixed = (*CONTINUED_SECTIONS, INIT_FROM)
    settings = {key: x for key, x in config.items() if key not in fixed or key in original}
    settings |= {key: original[key] for key in fixed if key in original}
    run_files.write_config(path, settings)
    launches = [*_read_launches(path), describe_launch() | _describe(path, continuation)]
    run_files.write_file(path / run_files.LAUNCHES, run_files.to_json(launches))
    return Launch(original, continuation, _rescheduled_at(launches, config))


def _describe(path: Path, continuation: Continuation | None) -> dict[str, Any]:
    """Returns the entry about a continuation, with the earlier result of the run."""
    if continuation is None:
        return {}
    result = None
    with contextlib.suppress(UserError):  # a damaged result ends with this launch
        result = run_files.read_result(path, "")
    return {"continues": {**continuation._asdict(), "result": result}}


def _rescheduled_at(launches: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> int | None:
    """Returns the step at which the schedule changed last; None if it never changed.

    A change does not count if its launch was killed before it took effect.
    """
    flat = json.loads(json.dumps(flatten(config)))
    for launch in reversed(launches):
        continued = launch.get("continues", {"changes": {}})
        new = {k: x[1] for k, x in continued["changes"].items() if k.startswith("schedule.")}
        if new:
            step: int = continued["step"]
            return step if all(flat.get(key) == value for key, value in new.items()) else None
    return None


def _read_launches(path: Path) -> list[dict[str, Any]]:
    """Returns the entries of `launches.json`; an empty list and a warning if it is damaged."""
    try:
        return run_files.read_launches(path, "a new file replaces it")
    except UserError as damage:
        print_warning(damage)
        return []
