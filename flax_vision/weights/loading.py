"""Loads a trained model from an export directory or a run directory."""

import warnings
from functools import partial
from pathlib import Path
from typing import Any

from flax import linen as nn

from flax_vision.errors import UserError
from flax_vision.runtime.files import to_path
from flax_vision.weights import run_checkpoints, saved_model
from flax_vision.weights.run_checkpoints import Checkpoint, UsableCheckpoints
from flax_vision.weights.run_files import METADATA, RESULT, read_config
from flax_vision.weights.saved_model import LoadedModel, ModelMetadata

_ADVICE = "give the training command again to write it"
_HINT = f"delete it and {_ADVICE}"


def is_unfinished(path: Path) -> bool:
    """Returns whether a directory is a run with checkpoints but without a result."""
    return bool(run_checkpoints.saved_steps(path)) and not (path / RESULT).exists()


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
        raise UserError(f"{path} is not finished and has no {METADATA}; {_ADVICE}.")
    return saved_model.read_metadata(path / METADATA, _HINT)


def load_model(path: str | Path) -> LoadedModel:
    """Returns the model in an export directory or a run directory.

    An unfinished run gives its best checkpoint.

    Raises:
      UserError: There is no model, or it is damaged.
    """
    path = to_path(path)
    if not is_unfinished(path):
        return saved_model.load_export(path)
    metadata = load_metadata(path)
    checkpoints = run_checkpoints.find_checkpoints(path)
    if checkpoints is None:
        raise UserError(
            f"no checkpoint in {path / 'checkpoints'} can be read; start the run again in another "
            "--workdir."
        )
    load = partial(_load_checkpoint, checkpoints.best)
    loaded = saved_model.restore_model(metadata, path / METADATA, _HINT, load)
    return loaded._replace(note=_note(path, checkpoints))


def _load_checkpoint(checkpoint: Checkpoint) -> Any:
    try:
        return run_checkpoints.load_variables(checkpoint)
    except Exception as error:  # Orbax raises many types
        damage = run_checkpoints.CorruptCheckpointError(checkpoint.step, error)
        hint = "if training has replaced it, give the command again"
        raise UserError(f"{damage}; {hint}.") from error


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


def _note(path: Path, checkpoints: UsableCheckpoints) -> str:
    """Returns a line about the checkpoint of an unfinished run."""
    best, epochs = checkpoints.best, read_config(path).get("epochs", "?")
    finished = len(checkpoints.newest.history)
    chosen = f"its newest checkpoint, of step {best.step:,}"
    if best.history and best.history[-1]["step"] == best.step:
        chosen = f"the checkpoint of epoch {best.history[-1]['epoch']}, the best so far"
    note = f"{path} is not finished (epoch {finished} of {epochs}); using {chosen}"
    return "; ".join([note, *checkpoints.damaged])
