"""Result and metrics of a finished run; damaged files are repaired."""

from pathlib import Path
from typing import Any

from flax_vision.checkpoints import History
from flax_vision.errors import UserError
from flax_vision.terminal import print_warning
from flax_vision.weights import exported
from flax_vision.weights.run_checkpoints import find_checkpoints
from flax_vision.weights.run_files import (
    RESULT,
    read_records,
    read_result,
    result_problem,
    to_json,
    write_file,
)


def read_finished(path: Path) -> dict[str, Any] | None:
    """Returns the result of a run; None for an unfinished run.

    A damaged file is written again from the export, with a warning.

    Raises:
      UserError: Both the result and the export are damaged.
    """
    try:
        return read_result(path, "it is written again from the export")
    except UserError as damage:
        result = _result_of_export(path)
        print_warning(damage)
        write_file(path / RESULT, to_json(result))
        return result


def missing_records(path: Path) -> History | None:
    """Returns the epoch records of a finished run; None if its metrics are undamaged."""
    try:
        read_records(path, "it is written again from the newest checkpoint")
    except UserError as damage:
        found = find_checkpoints(path)
        if found is not None:
            print_warning(damage)
            return found.newest.history
    return None


def _result_of_export(path: Path) -> dict[str, Any]:
    """Returns the result from the metadata of a run's exported model."""
    try:
        result = dict(exported.load_card(path / "export").metrics)
        reason = result_problem(result)
    except (UserError, TypeError, ValueError) as error:
        reason = str(error)
    if reason:
        raise UserError(
            f"{path / RESULT} is damaged, and the export cannot replace it ({reason.rstrip('.')}); "
            "delete it to test the best checkpoint again, or give another --workdir."
        )
    return result
