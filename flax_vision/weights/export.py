"""A trained network, handed on to other programs."""

import contextlib
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
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
from flax_vision.runtime.paths import to_path
from flax_vision.weights import saved_model
from flax_vision.weights.loading import load_metadata, load_model
from flax_vision.weights.saved_model import ModelMetadata
from flax_vision.weights.torchvision import to_torchvision

_FILE_MODE = 0o644

PLATFORMS = ("cpu", "cuda", "tpu")
"""For which a program is lowered."""


class ExportedFunction(NamedTuple):
    """A network with its parameters as one function.

    Attributes:
      function: from images to logits.
      shape: height, width and channels of the images.
      dtype: of them.
    """

    function: Callable[[Any], jax.Array]
    shape: tuple[int, ...]
    dtype: str


def export(path: str | Path, form: str, output: str | Path, preprocessing: bool = False) -> str:
    """Writes what training or an import left behind in another format.

    The file also has the class names, in the order of the logits: safetensors and ONNX in their
    metadata; `.pth`, `.pt` and `.stablehlo` in a second file with `.json` added to the name.

    Args:
      path: a run directory, or an export.
      form: `"orbax"`, `"safetensors"`, `"torchvision"`, `"stablehlo"` or `"onnx"`.
      output: of the new file, or directory for Orbax, where nothing is yet.
      preprocessing: makes it a part of the network, which then takes uint8 images of the size of
        the data set; for StableHLO.

    Returns:
      A line about the checkpoint of an unfinished run; empty for an export.

    Raises:
      UserError: there is no network at `path`, it cannot be had in that format, what that takes is
        not installed, or the output exists or cannot be written.
    """
    output = to_path(output)
    write = _check(form, output, preprocessing)
    if form == "onnx":
        _check_precision(load_metadata(path))
    metadata, model, variables, note = load_model(path)
    unfinished = output.with_name(f".unfinished-{output.name}")
    is_program = form in _PROGRAMS
    network = _program(metadata, model, variables, preprocessing) if is_program else variables
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir()
        write(unfinished / output.name, metadata, network)
        if output.suffix in _WITH_CARD_FILE:
            (unfinished / _card_file(output).name).write_text(metadata.to_json())
        for file in sorted(unfinished.iterdir(), reverse=True):  # the card first
            file.rename(output.with_name(file.name))
    except OSError as error:
        raise UserError(
            f"{str(output)!r} cannot be written ({error.strerror or error}); give another -o."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return note


def _check(form: str, output: Path, preprocessing: bool) -> Callable[..., None]:
    """Returns what writes a format, if everything for it is there."""
    if form not in _FORMATS:
        raise unknown("format", form, _FORMATS)
    write, suffixes, packages = _FORMATS[form]
    if preprocessing and form != "stablehlo":
        raise UserError(f"--preprocessing is for --format stablehlo, not {form}; leave it out.")
    if suffixes and output.suffix not in suffixes:
        raise UserError(
            f"-o is {str(output)!r}, and a file in the format {form} ends with "
            f"{' or '.join(suffixes)}; give such a name."
        )
    for path in (output, _card_file(output)) if output.suffix in _WITH_CARD_FILE else (output,):
        if path.exists() or path.is_symlink():
            raise UserError(f"{str(path)!r} exists; give another -o, or take it away first.")
    if not output.absolute().parent.is_dir():
        raise UserError(f"there is no directory {str(output.parent)!r}; make it, or give another.")
    needed = [*packages, *(["torch"] if output.suffix in (".pth", ".pt") else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{output.name} takes {' and '.join(missing)}, which is not installed: "
            f"pip install {' '.join(missing)}"
        )
    return write


def _card_file(output: Path) -> Path:
    return output.with_name(f"{output.name}.json")


def _metadata(metadata: ModelMetadata) -> dict[str, str]:
    """Returns the description of a model for the metadata of a file."""
    return {"class_names": json.dumps(list(metadata.class_names)), "model.json": metadata.to_json()}


def _check_precision(metadata: ModelMetadata) -> None:
    """Raises a UserError for a network whose graph ONNX Runtime would not run."""
    dtype = metadata.options.get("dtype", "float32")
    if dtype != "float32":
        raise UserError(
            f"this {metadata.name} computes in {dtype}, and ONNX is for networks that compute in "
            "float32; give --format stablehlo, or train with --config.model.dtype=float32."
        )


def _program(
    metadata: ModelMetadata, model: Any, variables: Any, preprocessing: bool
) -> ExportedFunction:
    if not preprocessing:
        return ExportedFunction(partial(model.apply, variables), metadata.seen_shape, "float32")

    def function(images: Any) -> jax.Array:
        logits: jax.Array = model.apply(variables, metadata.preprocessing(images))
        return logits

    return ExportedFunction(function, tuple(metadata.image_shape), "uint8")


def _write_safetensors(path: Path, metadata: ModelMetadata, variables: Mapping[str, Any]) -> None:
    arrays = {name: np.asarray(x) for name, x in flatten_dict(variables, sep="/").items()}
    _save_safetensors(path, metadata, arrays)


def _write_torchvision(path: Path, metadata: ModelMetadata, variables: Mapping[str, Any]) -> None:
    if other := differing_options(model_options(metadata.name), metadata.options):
        told = [
            f"{key} is {here!r} here and {there!r} there" for key, (there, here) in other.items()
        ]
        raise UserError(
            f"torchvision has no such {metadata.name}: {'; '.join(told)}. Give another --format."
        )
    state_dict = to_torchvision(metadata.name, variables)
    if path.suffix == ".safetensors":
        arrays = {key: np.ascontiguousarray(x) for key, x in state_dict.items()}
        _save_safetensors(path, metadata, arrays)
        return
    import torch

    with _disk_error(RuntimeError):
        torch.save({key: torch.from_numpy(x) for key, x in state_dict.items()}, path)


def _save_safetensors(path: Path, metadata: ModelMetadata, arrays: dict[str, np.ndarray]) -> None:
    with _disk_error(SafetensorError):
        save_file(arrays, path, _metadata(metadata))
    path.chmod(_FILE_MODE)  # it would keep the file from everybody else


@contextlib.contextmanager
def _disk_error(kind: type[Exception]) -> Iterator[None]:
    """Turns what a library says of a file that it cannot write into what Python does."""
    try:
        yield
    except kind as error:
        raise OSError(str(error).splitlines()[0]) from error


def _write_stablehlo(path: Path, metadata: ModelMetadata, program: ExportedFunction) -> None:
    del metadata  # it is a file beside this one
    (batch,) = jax.export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *program.shape), program.dtype)
    with reference_ops():
        lowered = jax.export.export(jax.jit(program.function), platforms=PLATFORMS)(images)
    path.write_bytes(lowered.serialize())


def _write_onnx(path: Path, metadata: ModelMetadata, program: ExportedFunction) -> None:
    from flax_vision.weights.onnx import write_onnx

    write_onnx(path, program.function, program.shape, program.dtype, _metadata(metadata))


_PROGRAMS = ("stablehlo", "onnx")

_WITH_CARD_FILE = (".pth", ".pt", ".stablehlo")
"""Suffixes of formats without metadata; the card is a file beside them."""

_FORMATS: dict[str, tuple[Callable[..., None], Sequence[str], Sequence[str]]] = {
    "orbax": (saved_model.save, (), ()),
    "safetensors": (_write_safetensors, (".safetensors",), ()),
    "torchvision": (_write_torchvision, (".pth", ".pt", ".safetensors"), ()),
    "stablehlo": (_write_stablehlo, (".stablehlo",), ("flatbuffers",)),
    "onnx": (_write_onnx, (".onnx",), ("jax2onnx",)),
}
"""What writes each, how its files may end, and the packages that it takes."""
