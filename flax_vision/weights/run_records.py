"""The records of a run, with damage of their file repaired from a checkpoint."""

import contextlib
from pathlib import Path

from flax_vision.errors import UserError
from flax_vision.text import counted
from flax_vision.weights.run_checkpoints import History, find_checkpoints
from flax_vision.weights.run_files import METRICS, RESTORE, read_records, read_result


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
        found = find_checkpoints(path)
        if found is None:
            _check_records(path, RESTORE)
            raise
        return found.newest.history, damage
    return None


def _check_records(path: Path, hint: str) -> None:
    """Raises a UserError if `metrics.jsonl` is damaged or ends before the best epoch."""
    epochs = sum("epoch" in record for record in read_records(path, hint))
    best = _best_epoch(path)
    if epochs < best:
        raise UserError(
            f"{path / METRICS} is damaged (it has {counted(epochs, 'epoch')}, and the best is "
            f"epoch {best:,}); {hint}."
        )


def _best_epoch(path: Path) -> int:
    """Returns the best epoch of a finished run; 0 if the result is missing or damaged."""
    with contextlib.suppress(UserError):
        result = read_result(path, RESTORE)
        return result["best_epoch"] if result else 0
    return 0
