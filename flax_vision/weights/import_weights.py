"""Imports another library's weights into an export directory."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from flax_vision.errors import UserError
from flax_vision.runtime.files import to_path, write_errors
from flax_vision.text import listed, nfc
from flax_vision.weights import pretrained, saved_model
from flax_vision.weights.array_tree import check_finite
from flax_vision.weights.pretrained import PretrainedWeights, Transforms
from flax_vision.weights.saved_model import ModelMetadata
from flax_vision.weights.state_dict import read_state_dict
from flax_vision.weights.torchvision import ConvertedWeights, convert_state_dict
from flax_vision.weights.torchvision_modules import torchvision_modules

_PRETRAINED = "torchvision:"

_MAX_NAMES = 10
"""Number of class names in an error."""

_HINT = "give weights of a training that went well"
_WRITE_HINT = "give another directory, or make room"


@dataclass(frozen=True)
class ImportedModel:
    """Record of an import.

    Attributes:
      metadata: Description of the model.
      arrays: Path and shape of each array here and in torchvision.
      class_names_from: Source of the class names.
    """

    metadata: ModelMetadata
    arrays: list[dict[str, Any]]
    class_names_from: str


def import_weights(
    name: str,
    source: str,
    directory: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    resize: int | None = None,
    transform_input: bool | None = None,
) -> ImportedModel:
    """Writes an export directory with torchvision weights.

    Its preprocessing is torchvision's: a resize of the shorter side to 256, a center crop of
    224x224, and normalization by ImageNet's mean and standard deviation.

    Args:
      name: Name of the model, such as `"resnet50_v1_5"`.
      source: Path of a `.safetensors` or `.pth` file; or `torchvision:` and the name of weights
        that torchvision publishes.
      directory: New export directory.
      class_names: Different names in the order of the logits; None for ImageNet's names if there
        are 1000 classes and torchvision is installed, or else for numbers.
      resize: Length of the shorter side after the resize; None for torchvision's.
      transform_input: Whether GoogLeNet maps pixels to (x - 0.5) / 0.5; None for yes, as
        torchvision's pretrained weights need it.

    Raises:
      UserError: torchvision does not have the model, the source is unreadable or does not fit it,
        the names are too few, too many or equal, the size is smaller than the crop, or the
        directory exists or cannot be written.
    """
    directory = to_path(directory)
    _check_arguments(name, directory, class_names or (), transform_input)
    weights = _read_weights(name, source, resize, transform_input)
    converted = convert_state_dict(name, weights.state_dict)
    arrays = {converted.names[path]: x for path, x in flatten_dict(converted.variables).items()}
    _check_numbers(arrays)
    options = dict(converted.options)
    names, origin = _class_names(options.pop("num_classes"), class_names, weights.class_names)
    crop, preprocessing = weights.transforms.crop_policy, weights.transforms.preprocessing
    metadata = ModelMetadata(name, options, names, crop.image_shape, preprocessing, {}, crop)
    with write_errors(directory, _WRITE_HINT):
        saved_model.save(directory, metadata, converted.variables)
    return ImportedModel(metadata, _array_rows(converted, weights.state_dict), origin)


def _array_rows(converted: ConvertedWeights, state_dict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a table of the arrays here and in torchvision."""
    return [
        {
            "array": "/".join(path),
            "shape": tuple(x.shape),
            "torchvision": converted.names[path],
            "torchvision shape": tuple(state_dict[converted.names[path]].shape),
        }
        for path, x in flatten_dict(converted.variables).items()
    ]


def _check_arguments(
    name: str, directory: Path, class_names: Sequence[str], transform_input: bool | None
) -> None:
    """Raises a UserError before anything takes long, and creates the directory's parents."""
    torchvision_modules(name)
    if directory.exists() or directory.is_symlink():
        raise UserError(f"{str(directory)!r} exists already; give a directory that does not.")
    if transform_input is not None and name != "googlenet_torchvision":
        raise UserError(
            f"transform_input (--no-transform-input) is for GoogLeNet, not for {name}; leave it "
            "out."
        )
    counts = Counter(map(nfc, class_names))
    if repeated := [repr(name) for name, count in counts.items() if count > 1]:
        raise UserError(
            f"the class names have {listed(repeated, _MAX_NAMES)} more than once, which makes "
            "predictions ambiguous; give each class a name of its own."
        )
    with write_errors(directory, _WRITE_HINT):
        directory.absolute().parent.mkdir(parents=True, exist_ok=True)


def _read_weights(
    name: str, source: str, resize: int | None, transform_input: bool | None
) -> PretrainedWeights:
    """Reads or downloads weights, with the requested changes of their transforms."""
    if source.startswith(_PRETRAINED):
        weights = pretrained.load_pretrained(name, source.removeprefix(_PRETRAINED))
    else:
        weights = PretrainedWeights(read_state_dict(to_path(source)), Transforms(), None)
    transforms = dataclasses.replace(
        weights.transforms,
        resize=weights.transforms.resize if resize is None else resize,
        transform_input=name == "googlenet_torchvision" and transform_input is not False,
    )
    if transforms.resize < transforms.crop:
        raise UserError(f"resize is {resize}; give at least {transforms.crop}, the crop's size.")
    return dataclasses.replace(weights, transforms=transforms)


def _check_numbers(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises a UserError for numbers that are not finite, and for negative variances."""
    check_finite(arrays, _HINT)
    for name, x in arrays.items():
        if name.endswith("running_var") and x.min() < 0:
            raise UserError(f"{name!r} has variances below 0, whose root is not a number; {_HINT}.")


def _class_names(
    count: int, given: Sequence[str] | None, known: Sequence[str] | None
) -> tuple[list[str], str]:
    """Returns the names of `count` classes and their source."""
    if given is not None:
        if len(given) != count:
            raise UserError(
                f"{len(given):,} class names are given, but the last layer has {count:,} classes; "
                "give a name for each, in the order of its outputs."
            )
        return list(given), "as given"
    if known is None and count == 1000:
        known = pretrained.imagenet_class_names()
    if known is not None and len(known) == count:
        return list(known), "ImageNet's, from torchvision"
    return [str(number) for number in range(count)], "numbers"
