"""From another library's weights to an export directory."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from flax_vision.errors import UserError
from flax_vision.runtime.paths import to_path
from flax_vision.text import listed, nfc
from flax_vision.weights import saved_model
from flax_vision.weights.arrays import check_finite
from flax_vision.weights.published import Published, Transforms, names_of_imagenet, published
from flax_vision.weights.saved_model import ModelMetadata
from flax_vision.weights.state_dict import read_state_dict
from flax_vision.weights.torchvision import mapped
from flax_vision.weights.torchvision_modules import modules_of

_PUBLISHED = "torchvision:"

_NAMED = 10
"""Class names that an error names."""


@dataclass(frozen=True)
class Imported:
    """What was imported.

    Attributes:
      metadata: of the network.
      arrays: for each array its path in our variables and its shape, and torchvision's name and
        shape.
      class_names_from: where the names of the classes come from.
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
) -> Imported:
    """Writes an export directory with the weights of torchvision's form of a network.

    It takes torchvision's preprocessing: the shorter side of a photograph is brought to 256, the
    middle 224x224 is seen, and ImageNet's mean is subtracted and its deviation divides.

    Args:
      name: the network, such as `"resnet50_v1_5"`.
      source: path of a `.safetensors` or `.pth` file; or `torchvision:` and the name of weights
        that torchvision publishes.
      directory: to be created.
      class_names: in the order of the logits, all different; None for ImageNet's, where there are
        1000 and torchvision is installed to name them, and else for their numbers.
      resize: length that the shorter side is brought to; None for torchvision's.
      transform_input: whether GoogLeNet maps pixels to (x - 0.5) / 0.5; None for yes, which is
        right for the weights that torchvision publishes.

    Raises:
      UserError: torchvision has no such network, the source cannot be read or does not fit it, the
        names are of another number or not all different, the size is smaller than what is seen, or
        the directory exists or cannot be written.
    """
    modules_of(name)
    directory = to_path(directory)
    if directory.exists() or directory.is_symlink():
        raise UserError(f"{str(directory)!r} exists already; give a directory that does not.")
    is_googlenet = name == "googlenet_torchvision"
    if transform_input is not None and not is_googlenet:
        raise UserError(
            f"transform_input (--no-transform-input) is GoogLeNet's, and not of {name}; leave it "
            "out."
        )
    _check_different(class_names or ())
    with _writing(directory):
        directory.absolute().parent.mkdir(parents=True, exist_ok=True)
    if source.startswith(_PUBLISHED):
        found = published(name, source.removeprefix(_PUBLISHED))
    else:
        found = Published(read_state_dict(to_path(source)), Transforms(), None)
    transforms = dataclasses.replace(
        found.transforms,
        resize=found.transforms.resize if resize is None else resize,
        transform_input=is_googlenet and transform_input is not False,
    )
    if transforms.resize < transforms.crop:
        raise UserError(f"resize is {resize}; give at least {transforms.crop}, what is seen.")
    ours = mapped(name, found.state_dict)
    arrays = flatten_dict(ours.variables)
    check_finite(
        {ours.names[path]: x for path, x in arrays.items()},
        "give weights of a training that went well",
    )
    _check_variances({ours.names[path]: x for path, x in arrays.items() if path[-1] == "var"})
    options = dict(ours.options)
    names, origin = _class_names(options.pop("num_classes"), class_names, found.class_names)
    crop, preprocessing = transforms.crop_policy, transforms.preprocessing
    metadata = ModelMetadata(name, options, names, crop.image_shape, preprocessing, {}, crop)
    rows = [
        {
            "array": "/".join(path),
            "shape": tuple(x.shape),
            "torchvision": ours.names[path],
            "its shape": tuple(found.state_dict[ours.names[path]].shape),
        }
        for path, x in arrays.items()
    ]
    with _writing(directory):
        saved_model.save(directory, metadata, ours.variables)
    return Imported(metadata, rows, origin)


def _check_variances(arrays: Mapping[str, np.ndarray]) -> None:
    negative = [name for name, x in arrays.items() if x.min() < 0]
    if negative:
        raise UserError(
            f"{negative[0]!r} has variances below 0, whose root is not a number; give weights of a "
            "training that went well."
        )


def _check_different(class_names: Sequence[str]) -> None:
    twice = [repr(name) for name, count in Counter(map(nfc, class_names)).items() if count > 1]
    if twice:
        raise UserError(
            f"the class names have {listed(twice, _NAMED)} more than once, and predictions would "
            "not tell which is meant; give each class a name of its own."
        )


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Makes what the system says against writing a directory an error of the user's."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{str(directory)!r} cannot be written ({error.strerror or error}); give another "
            "directory, or make room."
        ) from error


def _class_names(
    count: int, given: Sequence[str] | None, known: Sequence[str] | None
) -> tuple[list[str], str]:
    """Returns the names of so many classes, and where they come from."""
    if given is not None:
        if len(given) != count:
            raise UserError(
                f"{len(given):,} class names are given, and the last layer tells {count:,} classes "
                "apart; give a name for each, in the order of its outputs."
            )
        return list(given), "as given"
    if known is None and count == 1000:
        known = names_of_imagenet()
    if known is not None and len(known) == count:
        return list(known), "torchvision's, of ImageNet"
    return [str(number) for number in range(count)], "their numbers"
