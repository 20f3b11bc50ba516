"""Writes and reads export directories: a model, its parameters and its description."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from flax_vision.errors import UserError
from flax_vision.runtime.checksums import ChecksumError, check_checksums, write_checksums
from flax_vision.runtime.files import read_regular, unfinished_directory
from flax_vision.text import counted
from flax_vision.weights import array_tree
from flax_vision.weights.array_tree import check_finite, shape_differences
from flax_vision.weights.model_metadata import (
    ModelMetadata,
    OtherFormatError,
    UnregisteredModelError,
    from_json,
)
from flax_vision.weights.run_files import CONFIG

_METADATA = "model.json"
_VARIABLES = "variables"
_HINT = "export or import the model again"
_RUN_HINT = "give the command of the training again, which exports the best checkpoint again"

_MAX_REASON = 200
"""Length of Orbax's reason in an error."""


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


def save(path: Path, metadata: ModelMetadata, variables: Any) -> None:
    """Writes an export directory; replaces an older one when the new one is complete."""
    with unfinished_directory(path) as unfinished:
        array_tree.save_tree(unfinished / _VARIABLES, variables)
        (unfinished / _METADATA).write_text(metadata.to_json())
        write_checksums(unfinished)
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)


def load_metadata(path: str | Path) -> ModelMetadata:
    """Returns the description in an export directory, or in a run directory that has one.

    Raises:
      UserError: The description is missing, damaged or of another format.
    """
    directory = _export_directory(path)
    metadata = read_metadata(directory / _METADATA, _hint(directory))
    _check_files(directory, [_METADATA])
    return metadata


def export_problem(path: str | Path) -> str:
    """Returns the first difference of an export's files from the written ones; empty for none."""
    try:
        load_metadata(path)
        _check_files(_export_directory(path))
    except UserError as error:
        return str(error)
    return ""


def read_metadata(file: Path, hint: str) -> ModelMetadata:
    """Returns the description in a JSON file.

    Args:
      file: JSON file.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file is unreadable, damaged or of another format.
    """
    try:
        return from_json(read_regular(file))
    except OtherFormatError as error:
        raise UserError(
            f"{file} {error}; import the model again, or train it again in another --workdir."
        ) from error
    except UnregisteredModelError as error:
        raise UserError(f"{file.parent} {error}.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); {hint}.") from error


def load_export(path: str | Path) -> LoadedModel:
    """Returns the model in an export directory, or in the export directory of a run.

    Raises:
      UserError: There is no export, it is damaged, or its arrays do not fit its description.
    """
    metadata, directory = load_metadata(path), _export_directory(path)
    _check_files(directory)

    def load_variables() -> Any:
        try:
            return array_tree.load_tree(directory / _VARIABLES)
        except Exception as error:  # Orbax raises many types for damaged files, over many lines
            reason = str(error).strip().splitlines()[0][:_MAX_REASON]
            raise UserError(
                f"{directory / _VARIABLES} cannot be read ({reason}); export the model again."
            ) from error

    return restore_model(metadata, directory / _METADATA, _hint(directory), load_variables)


def restore_model(
    metadata: ModelMetadata, file: Path, hint: str, load_variables: Callable[[], Any]
) -> LoadedModel:
    """Creates a described model, and loads variables that fit it.

    Args:
      metadata: Description of the model.
      file: File of the description.
      hint: Advice for a description or variables that do not fit.
      load_variables: Function that loads parameters and statistics.

    Raises:
      UserError: The model is impossible, or the variables do not fit it or are not finite.
    """
    try:
        model = metadata.create_model()
        images = jax.ShapeDtypeStruct((1, *metadata.input_shape), "float32")
        expected = jax.eval_shape(model.init, jax.random.key(0), images)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{file} describes an impossible model ({reason}); {hint}.") from error
    variables = load_variables()
    trees = [jax.tree.map(np.shape, tree) for tree in (expected, variables)]
    shapes = [flatten_dict(tree, sep="/") for tree in trees]
    if problems := shape_differences(*shapes):
        raise UserError(
            f"the arrays in {file.parent} do not fit the {metadata.name} for "
            f"{counted(len(metadata.class_names), 'class', 'classes')} in {file.name}; {problems}. "
            f"{hint[:1].upper()}{hint[1:]}."
        )
    check_finite(flatten_dict(variables, sep="/"), f"{hint}, {file.parent} is damaged")
    return LoadedModel(metadata, model, variables)


def _check_files(directory: Path, items: Sequence[str] | None = None) -> None:
    """Raises a UserError that names the first changed file."""
    try:
        check_checksums(directory, items)
    except ChecksumError as error:
        raise UserError(f"{directory} is damaged ({error}); {_hint(directory)}.") from error
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read ({error.strerror}).") from error


def _hint(directory: Path) -> str:
    """Returns the advice for a damaged export."""
    return _RUN_HINT if (directory.parent / CONFIG).exists() else _HINT


def _export_directory(path: str | Path) -> Path:
    path = Path(path)
    for directory in (path, path / "export"):
        if os.path.isfile(directory / _METADATA):
            return directory
    raise UserError(
        f"no model in {str(path)!r}: neither it nor its export/ has a {_METADATA}. Give an export, "
        "or the directory of a run that has a checkpoint."
    )
