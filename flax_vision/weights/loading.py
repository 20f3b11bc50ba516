"""Loads a trained model from an export directory, or from a finished or stopped run."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

from flax import linen as nn

from flax_vision.errors import UserError
from flax_vision.runtime.paths import to_path
from flax_vision.weights import saved_model
from flax_vision.weights.run_checkpoints import (
    Checkpoint,
    CorruptCheckpointError,
    UsableCheckpoints,
    find_checkpoints,
    load_variables,
    saved_steps,
)
from flax_vision.weights.run_files import METADATA, RESULT, read_config
from flax_vision.weights.saved_model import ModelMetadata

_WRITE = "give the training command again to write it"
_HINT = f"delete it and {_WRITE}"


class LoadedModel(NamedTuple):
    """A trained model.

    Attributes:
      metadata: Description of the model.
      model: The module.
      variables: Its parameters and statistics, on the first device.
      note: A line about the checkpoint of an unfinished run; empty for an export.
    """

    metadata: ModelMetadata
    model: nn.Module
    variables: Any
    note: str = ""


def is_unfinished(path: Path) -> bool:
    """Returns whether a directory is a run with checkpoints but without a result."""
    return bool(saved_steps(path)) and not (path / RESULT).exists()


def load_metadata(path: str | Path) -> ModelMetadata:
    """Returns the description of the model in an export or a run directory.

    Raises:
      UserError: There is no description, or it is damaged.
    """
    path = to_path(path)
    if not is_unfinished(path):
        return saved_model.load_metadata(path)
    read_config(path)  # raises for a run of another format
    if not (path / METADATA).is_file():
        raise UserError(f"{path} is not finished and has no {METADATA}; {_WRITE}.")
    return saved_model.read_metadata(path / METADATA, _HINT)


def load_model(path: str | Path) -> LoadedModel:
    """Returns the model in an export directory or a run directory.

    An unfinished run gives its best checkpoint.

    Raises:
      UserError: There is no model, or it is damaged.
    """
    path = to_path(path)
    if not is_unfinished(path):
        return LoadedModel(*saved_model.load_export(path))
    metadata, file = load_metadata(path), path / METADATA
    model, expected = saved_model.describe_model(metadata, file, _HINT)
    found = find_checkpoints(path)
    if found is None:
        raise UserError(
            f"no checkpoint in {path / 'checkpoints'} can be read; start the run again in another "
            "--workdir."
        )
    variables = _load_variables(found.best)
    saved_model.check_variables(metadata, expected, variables, file, _HINT)
    return LoadedModel(metadata, model, variables, _note(path, found))


def _load_variables(checkpoint: Checkpoint) -> Any:
    try:
        return load_variables(checkpoint)
    except Exception as error:  # Orbax raises anything
        raise UserError(
            f"{CorruptCheckpointError(checkpoint.step, error)}; if training has replaced it, "
            "give the command again."
        ) from error


def load(path: str | Path) -> tuple[nn.Module, Any]:
    """Returns a trained model: the module and its variables.

    Call `module.apply(variables, images)`; `load_metadata` describes the images.

    Args:
      path: An export directory, or a run directory.

    Raises:
      UserError: There is no model, or it is damaged; see `load_model`.
    """
    loaded = load_model(path)
    if loaded.note:
        warnings.warn(loaded.note, stacklevel=2)
    return loaded.model, loaded.variables


def _note(path: Path, found: UsableCheckpoints) -> str:
    """Returns a line about the checkpoint of an unfinished run."""
    best, epochs = found.best, read_config(path).get("epochs", "?")
    done = len(found.newest.history)
    is_of_epoch = bool(best.history) and best.history[-1]["step"] == best.step
    taken = (
        f"the checkpoint of epoch {best.history[-1]['epoch']}, the best so far"
        if is_of_epoch
        else f"its newest checkpoint, of step {best.step:,}"
    )
    note = f"{path} is not finished (epoch {done} of {epochs}); using {taken}"
    return "; ".join([note, *found.damaged])
