"""Describes a trained model, and converts the description to and from JSON."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import msgspec
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from flax_vision.data.background import Background
from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.models.registry import create_model, list_models, registered_by
from flax_vision.weights.run_files import other_version

FORMAT = 3
"""Version of the JSON and of the files beside it."""

_SIZE_LIMIT = 2**14
"""Bound on the sizes of images."""


class OtherFormatError(ValueError):
    """Raised for JSON that another version of flax_vision wrote."""


class UnregisteredModelError(ValueError):
    """Raised for the JSON of a custom model that is not registered."""


class _Header(msgspec.Struct):
    format: int
    name: str = ""
    registered_by: str = ""


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """Description of a trained model, without its parameters.

    Attributes:
      name: Name of the model, as in `create_model`.
      options: Options of the model, as in `create_model`.
      class_names: Names of the classes, in the order of the logits.
      image_shape: Height, width and channels of the training images.
      preprocessing: Conversion of their pixels to the model's input.
      metrics: Results of the model, such as `"test/top1"`.
      crop: Crops of image files; None for small images, which need no crop.
      background: Background of the training images; None for imported weights.
    """

    name: str
    options: Mapping[str, Any]
    class_names: Sequence[str]
    image_shape: Sequence[int]
    preprocessing: Preprocessing
    metrics: Mapping[str, int | float]
    crop: CropPolicy | None = None
    background: Background | None = None

    def create_model(self, mesh: Mesh | None = None) -> nn.Module:
        """Creates the model without its parameters; `mesh` divides it among devices."""
        classes = len(self.class_names)
        return create_model(self.name, num_classes=classes, mesh=mesh, **self.options)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the model's input, after preprocessing."""
        images = jax.ShapeDtypeStruct((1, *self.image_shape), "uint8")
        _, height, width, channels = jax.eval_shape(self.preprocessing, images).shape
        return height, width, channels

    def to_json(self) -> str:
        """Returns JSON for `from_json`, without metrics that are not finite.

        For a custom model, `registered_by` is the Python module that registers it.
        """
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        if module := registered_by(self.name):
            content["registered_by"] = module
        content["metrics"] = {key: x for key, x in self.metrics.items() if math.isfinite(x)}
        return json.dumps(content, indent=2, allow_nan=False) + "\n"


def from_json(text: str | bytes) -> ModelMetadata:
    """Reads the JSON of `ModelMetadata.to_json`.

    Args:
      text: JSON.

    Raises:
      OtherFormatError: Another version of flax_vision wrote it.
      UnregisteredModelError: The module that registers the model has not been imported.
      ValueError: It is not JSON, or a value in it is missing, unknown or invalid.
    """
    try:
        header = msgspec.json.decode(text, type=_Header)
        if header.format != FORMAT:
            raise OtherFormatError(f"was written by {other_version(header.format, FORMAT)}")
        if (module := header.registered_by) and header.name not in list_models():
            raise UnregisteredModelError(
                f"has a model that {module!r} registers; give --import {module}, or import that "
                "module first in Python"
            )
        metadata = msgspec.json.decode(text, type=ModelMetadata)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    _check(len(metadata.class_names) > 0, "class_names is empty")
    _check_image_shape(metadata)
    _check_preprocessing(metadata.preprocessing, metadata.image_shape)
    return metadata


def _check_image_shape(metadata: ModelMetadata) -> None:
    shape, crop = list(metadata.image_shape), metadata.crop
    is_shape = len(shape) == 3 and min(shape) > 0 and max(shape) < _SIZE_LIMIT
    if crop is not None:
        _check_crop(crop)
    _check(is_shape, f"image_shape is {shape}, not three sizes below {_SIZE_LIMIT}")
    is_same = crop is None or shape == list(crop.image_shape)
    _check(is_same, f"image_shape is {shape}, different from the crop")


def _check_preprocessing(preprocessing: Preprocessing, image_shape: Sequence[int]) -> None:
    for name, ranks in (("mean", (1, 3)), ("std", (1,))):
        array = np.asarray(getattr(preprocessing, name))
        is_numeric = array.dtype.kind in "iuf" and array.size > 0 and array.ndim in ranks
        # In float64, because JAX warns about numbers outside float32.
        is_finite = is_numeric and np.max(np.abs(array)) <= np.finfo(np.float32).max
        _check(is_finite, f"preprocessing.{name} is not an array of finite numbers")
    _check(np.all(np.asarray(preprocessing.std, np.float32)), "preprocessing.std has a 0")
    resize, crop = preprocessing.resize, preprocessing.crop
    is_valid = all(0 <= size < _SIZE_LIMIT for size in (resize, crop, preprocessing.channels))
    _check(is_valid, f"preprocessing has a size below 0 or not below {_SIZE_LIMIT}")
    _check(crop <= (resize or min(image_shape[:2])), f"preprocessing.crop is {crop}, too large")


def _check_crop(crop: CropPolicy) -> None:
    (shortest, longest), scale, ratio = crop.resize_range, crop.scale, crop.ratio
    is_size = 0 < crop.size <= crop.eval_resize < _SIZE_LIMIT
    is_scale = not scale or (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1)
    _check(is_size, f"crop.size is {crop.size}, not from 1 to crop.eval_resize")
    _check(crop.channels in (1, 3), f"crop.channels is {crop.channels}, not 1 or 3")
    _check(0 < shortest <= longest < _SIZE_LIMIT, "crop.resize_range is not a range of sizes")
    _check(is_scale, "crop.scale is not a range")
    _check(0 < ratio[0] <= ratio[1], "crop.ratio is not a range")


def _check(is_valid: Any, problem: str) -> None:
    if not is_valid:
        raise ValueError(problem)
