"""A model with its parameters as one function, and the description of its input."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.weights.model_metadata import ModelMetadata


class ExportedFunction(NamedTuple):
    """A model with its parameters as one function.

    Attributes:
      function: Function from images to logits.
      shape: Height, width and channels of the images.
      dtype: Type of the images.
      description: Description of the input and the classes; see `describe`.
    """

    function: Callable[[Any], jax.Array]
    shape: tuple[int, ...]
    dtype: str
    description: Mapping[str, Any]


@dataclass(frozen=True)
class _ConvertiblePreprocessing(Preprocessing):
    """A preprocessing that jax2onnx can convert for any batch size.

    It resizes with two matrices, because `jax.image.resize` needs a fixed batch size.

    Attributes:
      matrices: Matrices that resize the rows, [resize, H], and the columns, [resize, W].
    """

    matrices: Sequence[np.ndarray] = ()

    def resized(self, pixels: jax.Array) -> jax.Array:
        """Returns float32 images, bilinearly resized to `resize`."""
        rows, columns = self.matrices
        return jnp.einsum("wx,nhxc->nhwc", columns, jnp.einsum("hy,nyxc->nhxc", rows, pixels))


def _resize_matrix(size: int, new_size: int) -> np.ndarray:
    """Returns the matrix [new_size, size] of a bilinear resizing."""
    identity = np.eye(size, dtype=np.float32)
    return np.asarray(jax.image.resize(identity, (new_size, size), "linear"))


def make_exported_function(
    metadata: ModelMetadata, model: Any, variables: Any, preprocessing: bool
) -> ExportedFunction:
    """Returns the function of a model in evaluation.

    Args:
      metadata: Description of the model.
      model: The module.
      variables: Parameters and statistics.
      preprocessing: Whether the function includes the preprocessing, and takes uint8 images of
        `image_shape` instead of float32 images of `input_shape`.
    """
    given, sides = metadata.preprocessing, metadata.image_shape[:2]
    matrices = [_resize_matrix(side, given.resize) for side in sides] if given.resize else ()
    preprocess = _ConvertiblePreprocessing(**vars(given), matrices=matrices)

    def function(images: Any) -> Any:
        return model.apply(variables, preprocess(images) if preprocessing else images)

    shape, dtype = _input(metadata, preprocessing)
    return ExportedFunction(function, shape, dtype, describe(metadata, preprocessing))


def describe(metadata: ModelMetadata, preprocessing: bool) -> dict[str, Any]:
    """Describes an exported function for programs without this library.

    Args:
      metadata: Description of the model.
      preprocessing: Whether the function includes the preprocessing.

    Returns:
      Values for JSON:
        model_name: Name of the model.
        class_names: Names of the classes, in the order of the logits.
        input_size: Height, width and channels of the images.
        input_dtype: Type of the images: uint8, or float32 after the preprocessing.
        resize: Length to which the shorter side is resized before the center crop.
        mean: Mean to subtract: one number, one per channel, or an image [H, W, C].
        std: Divisor: one number, or one per channel. A uint8 function applies both itself.
    """
    shape, dtype = _input(metadata, preprocessing)
    given = metadata.preprocessing
    mean = np.asarray(given.mean, np.float32)
    if mean.ndim == 3 and not preprocessing:
        mean = np.asarray(given.center_crop(jnp.asarray(mean[None]))[0])
    size = max(metadata.image_shape[:2])
    resize = metadata.crop.eval_resize if metadata.crop else size
    if given.resize and not preprocessing:
        resize = round(resize * given.resize / size)
    return {
        "model_name": metadata.name,
        "class_names": list(metadata.class_names),
        "input_size": list(shape),
        "input_dtype": dtype,
        "resize": resize,
        "mean": np.atleast_1d(mean).astype(float).round(6).tolist(),
        "std": np.atleast_1d(np.asarray(given.std, float)).tolist(),
    }


def _input(metadata: ModelMetadata, preprocessing: bool) -> tuple[tuple[int, ...], str]:
    """Returns the shape and the type of the images."""
    if preprocessing:
        return tuple(metadata.image_shape), "uint8"
    return metadata.input_shape, "float32"
