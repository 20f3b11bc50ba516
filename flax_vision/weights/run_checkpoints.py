"""Finds and reads the checkpoints of a run, for other programs than its trainer."""

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.errors import UserError
from flax_vision.runtime.checksums import check_checksums
from flax_vision.text import counted
from flax_vision.weights import run_files
from flax_vision.weights.array_tree import on_first_device
from flax_vision.weights.best_epoch import best_first

_VARIABLES = ("params", "statistics", "average")
"""Entries of the saved state that belong to the model."""

CHECKED_ITEMS = ("state", "history")
"""Directories of a checkpoint whose files have checksums; Orbax writes others later."""

History = list[dict[str, Any]]
"""A JSON object for each finished epoch."""


class CorruptCheckpointError(Exception):
    """Raised for a checkpoint whose files have changed since it was saved.

    Attributes:
      step: Training step of the checkpoint.
    """

    def __init__(self, step: int, cause: Exception) -> None:
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0][:120]
        super().__init__(f"the checkpoint of step {step:,} is damaged ({reason})")
        self.step = step


class Checkpoint(NamedTuple):
    """An undamaged checkpoint of a run.

    Attributes:
      folder: Directory of the checkpoint.
      step: Training step.
      history: Records of the epochs before it.
    """

    folder: Path
    step: int
    history: History


class UsableCheckpoints(NamedTuple):
    """The usable checkpoints of a run.

    Attributes:
      newest: The newest checkpoint.
      best: The best finished epoch's checkpoint; the newest if no finished epoch has one.
      damaged: A text for each skipped checkpoint.
    """

    newest: Checkpoint
    best: Checkpoint
    damaged: list[str]


def saved_steps(run: Path) -> list[int]:
    """Returns the steps of the checkpoints in a run directory, oldest first.

    Raises:
      OSError: The directory of the checkpoints cannot be read.
    """
    try:
        with os.scandir(run / "checkpoints") as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def find_checkpoints(run: Path) -> UsableCheckpoints | None:
    """Returns the newest and the best checkpoint of a run; None if none is usable."""
    damaged: list[str] = []
    newest = _first_undamaged(run, saved_steps(run)[::-1], damaged)
    if newest is None:
        return None
    ranked, saved = best_first(newest.history), set(saved_steps(run))
    best = _first_undamaged(run, [x["step"] for x in ranked if x["step"] in saved], damaged)
    return UsableCheckpoints(newest, best or newest, damaged)


def load_variables(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the tested and exported variables, on the first device.

    Nothing else is read. The devices at the time of saving do not matter.
    """
    handler, folder = ocp.PyTreeCheckpointHandler(), checkpoint.folder / "state"
    saved = handler.metadata(folder).tree
    variables = {name: saved[name] for name in _VARIABLES if saved.get(name) is not None}
    abstract = on_first_device(variables)
    restore_args = ocp.checkpoint_utils.construct_restore_args(abstract)
    arguments = ocp.args.PyTreeRestore(abstract, restore_args=restore_args, partial_restore=True)
    state = handler.restore(folder, args=arguments)
    params = flatten_dict(state["params"]) | flatten_dict(state.get("average", {}))
    return {"params": unflatten_dict(params), **state["statistics"]}


def _first_undamaged(run: Path, steps: list[int], damaged: list[str]) -> Checkpoint | None:
    """Returns the first undamaged checkpoint; adds a text for each damaged one before it."""
    for step in steps:
        folder = run.absolute() / "checkpoints" / str(step)
        try:
            check_files(folder)
            history = ocp.JsonCheckpointHandler().restore(folder / "history")
        except Exception as error:  # Orbax raises anything for damaged files
            if (text := str(CorruptCheckpointError(step, error))) not in damaged:
                damaged.append(text)
        else:
            return Checkpoint(folder, step, history)
    return None


def check_files(folder: Path) -> None:
    """Raises a ChecksumError if the files of a checkpoint have changed."""
    check_checksums(folder, CHECKED_ITEMS)


def recover_history(path: Path, hint: str) -> tuple[History, UserError] | None:
    """Returns the epoch records of the newest checkpoint if `metrics.jsonl` is damaged.

    Args:
      path: The run directory.
      hint: Text about the use of these records.

    Returns:
      The records and the damage; None for an undamaged file.

    Raises:
      UserError: The file is damaged, and no checkpoint is usable.
    """
    try:
        _check_records(path, hint)
    except UserError as damage:
        checkpoints = find_checkpoints(path)
        if checkpoints is None:
            _check_records(path, run_files.RESTORE)
            raise
        return checkpoints.newest.history, damage
    return None


def _check_records(path: Path, hint: str) -> None:
    """Raises a UserError if `metrics.jsonl` is damaged or ends before the best epoch."""
    epochs = sum("epoch" in record for record in run_files.read_records(path, hint))
    best = 0
    with contextlib.suppress(UserError):
        best = (run_files.read_result(path, run_files.RESTORE) or {}).get("best_epoch", 0)
    if epochs < best:
        raise UserError(
            f"{path / run_files.METRICS} is damaged (it has {counted(epochs, 'epoch')}, and the "
            f"best is epoch {best:,}); {hint}."
        )
