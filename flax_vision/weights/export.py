"""Exports a trained model for other programs."""

import contextlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from safetensors import SafetensorError
from safetensors.numpy import save_file

from flax_vision.errors import UserError, unknown
from flax_vision.models.registry import differing_options, model_options
from flax_vision.ops.backend import reference_ops
from flax_vision.runtime.files import to_path, unfinished_directory, write_errors
from flax_vision.weights import saved_model
from flax_vision.weights.exported_function import ExportedFunction, make_exported_function
from flax_vision.weights.loading import load_metadata, load_model
from flax_vision.weights.saved_model import ModelMetadata
from flax_vision.weights.torchvision import to_torchvision

_FILE_MODE = 0o644

PLATFORMS = ("cpu", "cuda", "tpu")
"""Platforms of StableHLO exports."""


class _Format(NamedTuple):
    """A file format.

    Attributes:
      write: Function that writes a file.
      suffixes: Valid suffixes of the file; empty for a directory.
      packages: Packages that `write` imports.
      is_function: Whether `write` takes an ExportedFunction instead of variables.
    """

    write: Callable[..., None]
    suffixes: Sequence[str] = ()
    packages: Sequence[str] = ()
    is_function: bool = False


def export(path: str | Path, form: str, output: str | Path, preprocessing: bool = False) -> str:
    """Exports a trained or imported model in another format.

    The file includes the class names, in the order of the logits. safetensors and ONNX have them in
    their metadata; `.pth`, `.pt` and `.stablehlo` have a second file with `.json` added to the
    name. For ONNX and StableHLO they also describe the input; see `describe`.

    Args:
      path: A run directory or an export directory.
      form: `"orbax"`, `"safetensors"`, `"torchvision"`, `"stablehlo"` or `"onnx"`.
      output: New file, or new directory for Orbax.
      preprocessing: Whether a StableHLO or ONNX function includes the preprocessing, and takes
        uint8 images of the dataset's size, or of the crop's size for image files.

    Returns:
      A line about the checkpoint of an unfinished run; empty for an export.

    Raises:
      UserError: There is no model at `path`, the format does not support it, a package is missing,
        or the output exists or cannot be written.
    """
    output = to_path(output)
    chosen = _check_format(form, output, preprocessing)
    if form == "onnx":
        _check_precision(load_metadata(path))
    metadata, model, variables, note = load_model(path)
    content = variables
    if chosen.is_function:
        content = make_exported_function(metadata, model, variables, preprocessing)
    with write_errors(output, "give another -o"), unfinished_directory(output) as unfinished:
        chosen.write(unfinished / output.name, metadata, content)
        for file in _files(unfinished / output.name)[1:]:
            file.write_text(_to_json(metadata, getattr(content, "description", {})))
        for file in sorted(unfinished.iterdir(), reverse=True):  # the metadata first
            file.rename(output.with_name(file.name))
    return note


def _check_format(form: str, output: Path, preprocessing: bool) -> _Format:
    """Returns the format if the output and the installed packages allow it."""
    if form not in _FORMATS:
        raise unknown("format", form, _FORMATS)
    chosen = _FORMATS[form]
    if preprocessing and not chosen.is_function:
        raise UserError(
            f"--preprocessing is for --format stablehlo or onnx, not {form}; leave it out."
        )
    if chosen.suffixes and output.suffix not in chosen.suffixes:
        raise UserError(
            f"-o is {str(output)!r}, and a file in the format {form} ends with "
            f"{' or '.join(chosen.suffixes)}; give such a name."
        )
    for file in _files(output):
        if file.exists() or file.is_symlink():
            raise UserError(f"{str(file)!r} exists; give another -o, or delete it first.")
    if not output.absolute().parent.is_dir():
        raise UserError(
            f"there is no directory {str(output.parent)!r}; create it, or give another -o."
        )
    packages = [*chosen.packages, *(["torch"] if output.suffix in (".pth", ".pt") else [])]
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{output.name} needs {' and '.join(missing)}, which is not installed: "
            f"pip install {' '.join(missing)}"
        )
    return chosen


def _files(output: Path) -> list[Path]:
    """Returns the file, and a second file for the metadata if its format has none."""
    has_second = output.suffix in (".pth", ".pt", ".stablehlo")
    return [output, output.with_name(f"{output.name}.json")] if has_second else [output]


def _to_json(metadata: ModelMetadata, description: Mapping[str, Any]) -> str:
    """Returns the content of a second file: model.json and the description of a function."""
    return json.dumps({**json.loads(metadata.to_json()), **description}, indent=2) + "\n"


def _metadata(metadata: ModelMetadata, **description: Any) -> dict[str, str]:
    """Returns the description of a model as metadata of a file; each value is JSON."""
    values = {"class_names": list(metadata.class_names), **description}
    texts = {key: json.dumps(value) for key, value in values.items()}
    return {**texts, "model.json": metadata.to_json()}


def _check_precision(metadata: ModelMetadata) -> None:
    """Raises a UserError for a model that ONNX Runtime cannot run."""
    dtype = metadata.options.get("dtype", "float32")
    if dtype != "float32":
        raise UserError(
            f"this {metadata.name} computes in {dtype}, and ONNX is for models that compute in "
            "float32; give --format stablehlo, or train with --config.model.dtype=float32."
        )


def _write_safetensors(path: Path, metadata: ModelMetadata, variables: Mapping[str, Any]) -> None:
    arrays = {name: np.asarray(x) for name, x in flatten_dict(variables, sep="/").items()}
    _save_safetensors(path, metadata, arrays)


def _write_torchvision(path: Path, metadata: ModelMetadata, variables: Mapping[str, Any]) -> None:
    if other := differing_options(model_options(metadata.name), metadata.options):
        differences = [
            f"{key} is {here!r} here and {there!r} there" for key, (there, here) in other.items()
        ]
        raise UserError(
            f"torchvision has no such {metadata.name}: {'; '.join(differences)}. Give another "
            "--format."
        )
    state_dict = to_torchvision(metadata.name, variables)
    if path.suffix == ".safetensors":
        arrays = {key: np.ascontiguousarray(x) for key, x in state_dict.items()}
        _save_safetensors(path, metadata, arrays)
        return
    import torch

    with _as_os_error(RuntimeError):
        torch.save({key: torch.from_numpy(x) for key, x in state_dict.items()}, path)


def _save_safetensors(path: Path, metadata: ModelMetadata, arrays: dict[str, np.ndarray]) -> None:
    with _as_os_error(SafetensorError):
        save_file(arrays, path, _metadata(metadata))
    path.chmod(_FILE_MODE)  # safetensors makes the file unreadable for other users


@contextlib.contextmanager
def _as_os_error(kind: type[Exception]) -> Iterator[None]:
    """Turns a library's error about an unwritable file into an OSError."""
    try:
        yield
    except kind as error:
        raise OSError(str(error).splitlines()[0]) from error


def _write_stablehlo(path: Path, metadata: ModelMetadata, exported: ExportedFunction) -> None:
    del metadata  # in a second file
    (batch,) = jax.export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *exported.shape), exported.dtype)
    with reference_ops():
        lowered = jax.export.export(jax.jit(exported.function), platforms=PLATFORMS)(images)
    path.write_bytes(lowered.serialize())


def _write_onnx(path: Path, metadata: ModelMetadata, exported: ExportedFunction) -> None:
    from flax_vision.weights.onnx import write_onnx

    function, shape, dtype, description = exported
    write_onnx(path, function, shape, dtype, _metadata(metadata, **description))


_FORMATS = {
    "orbax": _Format(saved_model.save),
    "safetensors": _Format(_write_safetensors, (".safetensors",)),
    "torchvision": _Format(_write_torchvision, (".pth", ".pt", ".safetensors")),
    "stablehlo": _Format(_write_stablehlo, (".stablehlo",), ("flatbuffers",), is_function=True),
    "onnx": _Format(_write_onnx, (".onnx",), ("jax2onnx",), is_function=True),
}
