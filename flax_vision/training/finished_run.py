"""Result and metrics of a finished run; damaged files are repaired."""

from pathlib import Path
from typing import Any

from flax_vision.errors import UserError
from flax_vision.runtime.terminal import print_warning
from flax_vision.weights import run_files, saved_model
from flax_vision.weights.run_checkpoints import History, recover_history, saved_steps


def read_finished(path: Path) -> dict[str, Any] | None:
    """Returns the result of a run; None for an unfinished run.

    A damaged file is written again from the export, with a warning. A run without a whole export
    is unfinished, if it has checkpoints.

    Raises:
      UserError: Both the result and the export are damaged.
    """
    try:
        result = run_files.read_result(path, "it is written again from the export")
        is_finished = result is not None and _has_export(path)
        return result if is_finished else None
    except UserError as damage:
        result = _result_of_export(path)
        print_warning(damage)
        run_files.write_file(path / run_files.RESULT, run_files.to_json(result))
        return result


def _has_export(path: Path) -> bool:
    """Returns whether a finished run needs no new export."""
    problem = saved_model.export_problem(path / "export")
    if not problem or not saved_steps(path):
        return True
    print_warning(f"the best checkpoint is tested and exported again: {problem}")
    return False


def missing_records(path: Path) -> History | None:
    """Returns the epoch records of a finished run; None if its metrics cannot be improved."""
    hint = "it is written again from the newest checkpoint"
    try:
        history, damage = recover_history(path, hint) or (None, None)
    except UserError as error:
        history, damage = None, error
    if damage:
        print_warning(damage)
    return history


def _result_of_export(path: Path) -> dict[str, Any]:
    """Returns the result from the metadata of a run's exported model."""
    try:
        result = dict(saved_model.load_metadata(path / "export").metrics)
        reason = run_files.result_problem(result)
    except (UserError, TypeError, ValueError) as error:
        reason = str(error)
    if reason:
        raise UserError(
            f"{path / run_files.RESULT} is damaged, and the export cannot replace it "
            f"({reason.rstrip('.')}); delete it to test the best checkpoint again, or give another "
            "--workdir."
        )
    return result
