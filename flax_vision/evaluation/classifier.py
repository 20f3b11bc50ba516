"""A trained model, or an ensemble, that predicts the classes of image files."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.data.background import background_hint, edge_levels
from flax_vision.data.batches import evaluation_batches
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import ProgressFn
from flax_vision.data.file_list import FileList
from flax_vision.data.flags import MAX_PIXELS
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.errors import UserError
from flax_vision.evaluation.data_options import OPTIONS
from flax_vision.evaluation.evaluator import build_evaluator
from flax_vision.evaluation.image_paths import find_images, folder_class
from flax_vision.evaluation.members import check_paths, load_members
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.run_data import crop_policy
from flax_vision.text import format_value
from flax_vision.weights.model_metadata import ModelMetadata
from flax_vision.weights.saved_model import LoadedModel

_BATCH_SIZES = (1, 2, 4, 8, 16, 32)
"""Allowed batch sizes: a few, so that later calls and processes reuse compiled steps."""


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image file.

    Attributes:
      path: Path of the file.
      classes: Names of the most probable classes, the most probable first.
      probabilities: float32 [top], their softmax outputs.
      truth: The class with the name of the file's folder; None if there is no such class.
    """

    path: Path
    classes: Sequence[str]
    probabilities: np.ndarray
    truth: str | None = None


@dataclass(frozen=True, eq=False)
class PredictionList(Sequence[Prediction]):
    """The predictions for image files, in their order.

    Attributes:
      predictions: Predictions for the readable files.
      unreadable: Reasons by path, for files without a prediction.
      seconds: Seconds of the call, with decoding and compilation.
      model_seconds: Seconds in the model, with compilation.
      hint: Advice if the images look like negatives of the training images, else empty.
    """

    predictions: Sequence[Prediction]
    unreadable: Mapping[str, str]
    seconds: float
    model_seconds: float
    hint: str = ""

    def __getitem__(self, index: Any) -> Any:
        return self.predictions[index]

    def __len__(self) -> int:
        return len(self.predictions)


class Classifier:
    """A trained model, or an ensemble, with its parameters and its preprocessing of image files.

    ```python
    classifier = fv.Classifier("runs/lenet5")
    for prediction in classifier.predict(["photographs"]):
        print(prediction.path, prediction.classes[0], prediction.probabilities[0])
    ```

    An ensemble averages the probabilities of its models (Krizhevsky et al. 2012, section 6.1). Each
    model has its own preprocessing and image size; one at a time is on the device.

    ```python
    classifier = fv.Classifier(["runs/resnet20", "runs/resnet32"])
    ```

    Attributes:
      metadata: Description of the first model: its name, classes and preprocessing.
      note: Lines about the checkpoints of unfinished runs; empty for exports.
    """

    def __init__(
        self, path: str | Path | Sequence[str | Path], *, max_pixels: int = MAX_PIXELS
    ) -> None:
        """Loads a trained or imported model, or the models of an ensemble.

        Args:
          path: An export or run directory; or several, for models with the same classes.
          max_pixels: Bound on the pixels of an image file.

        Raises:
          UserError: A model is missing or damaged, does not accept image files, or its classes
            differ from the first model's.
        """
        paths = check_paths([path] if isinstance(path, str | Path) else path)
        # The models of an ensemble stay on the host until they are used.
        keep = _keep_on_host if len(paths) > 1 else _keep_on_device
        models = load_members(paths, keep)
        self._members = [_Member(loaded.metadata, loaded.variables) for loaded in models]
        self.metadata = models[0].metadata
        self.note = "; ".join(filter(None, (loaded.note for loaded in models)))
        self._max_pixels = max_pixels

    def posteriors(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns the probabilities of the classes for images without cropping.

        Args:
          images: uint8 [N, H, W, C], with the `image_shape` of the metadata.

        Returns:
          float32 [N, classes], outputs of the softmax, or their mean over the models.

        Raises:
          UserError: Models of an ensemble need images of different shapes.
        """
        shapes = [tuple(member.metadata.image_shape) for member in self._members]
        if other := next((shape for shape in shapes if shape != shapes[0]), None):
            raise UserError(
                f"the models of this ensemble take images of {format_value(shapes[0])} and of "
                f"{format_value(other)}; use predict, which crops image files for each model."
            )
        total = sum(member.posteriors(images) for member in self._members)
        return jnp.asarray(total) / np.float32(len(self._members))

    def predict(
        self,
        images: str | Path | Sequence[str | Path],
        top: int = 5,
        *,
        batch_size: int | None = None,
        threads: int = 0,
        on_progress: ProgressFn = lambda what, done, total: None,
    ) -> PredictionList:
        """Predicts the classes of image files, with the crop of the run's own test.

        Files may be JPEG, PNG, WebP, BMP, GIF, TIFF or PPM, of any size and mode. They are turned
        upright by their EXIF orientation. Threads decode them while the model computes.

        Args:
          images: Image files, and folders searched at any depth; or one of them.
          top: Number of most probable classes to name.
          batch_size: Number of images in a step; None for up to 32.
          threads: Number of decoding threads; 0 for one per core.
          on_progress: Function that gets a text, the images so far and their number.

        Raises:
          UserError: There are no images, `top` is below 1, or an output is not finite.
        """
        if top < 1:
            raise UserError(f"top is {top}; give at least 1, the number of classes to name.")
        paths, _, unreadable = find_images(images)
        started = time.monotonic()
        size = batch_size or next((x for x in _BATCH_SIZES if x >= len(paths)), _BATCH_SIZES[-1])
        outputs = []
        for number, member in enumerate(self._members, 1):
            prefix = f"{number} of {len(self._members)}: " if len(self._members) > 1 else ""
            dataset = self._dataset(member, paths, threads)
            outputs.append(member.run(dataset, size, _prefixed(on_progress, prefix)))
            unreadable = {**unreadable, **dataset.unreadable}
        readable = np.logical_and.reduce([output.is_readable for output in outputs])
        mean = np.mean([output.posteriors for output in outputs], axis=0)
        predictions = [
            self._prediction(paths[index], mean[index], top) for index in np.flatnonzero(readable)
        ]
        hint = background_hint(outputs[0].edge_levels[readable], self.metadata.background)
        model_seconds = sum(output.seconds for output in outputs)
        seconds = time.monotonic() - started
        return PredictionList(predictions, unreadable, seconds, model_seconds, hint)

    def _prediction(self, path: Path, probabilities: np.ndarray, top: int) -> Prediction:
        names = self.metadata.class_names
        order = np.argsort(-probabilities, kind="stable")[:top]
        classes = [names[i] for i in order]
        return Prediction(path, classes, probabilities[order], folder_class(path, names))

    def seen(self, path: Path) -> np.ndarray:
        """Returns the input of the first model for an image file: its crop, uint8 [H, W, C]."""
        (crops,) = self._dataset(self._members[0], [path], 1).batches([np.arange(1)], None)
        return np.asarray(crops[0][0])

    def _dataset(self, member: "_Member", paths: Sequence[Path], threads: int) -> ImageFileDataset:
        """Returns image files, cropped for a model, as a set without known labels."""
        decode = DecodeConfig(member.crop, "skip", threads, OPTIONS, self._max_pixels)
        indices, labels = np.arange(len(paths)), np.zeros(len(paths), np.int32)
        files = FileList(paths, self._max_pixels)
        return ImageFileDataset(files, indices, labels, self.metadata.class_names, decode)


class _Outputs(NamedTuple):
    """Outputs of a model for image files.

    Attributes:
      posteriors: float32 [N, classes], 0 for unreadable files.
      is_readable: bool [N].
      edge_levels: float64 [N], the pixel levels at the edges of the images.
      seconds: Seconds in the model, with compilation.
    """

    posteriors: np.ndarray
    is_readable: np.ndarray
    edge_levels: np.ndarray
    seconds: float


class _Member:
    """A model of a classifier.

    Attributes:
      metadata: Description of the model.
      crop: Crop of image files.
    """

    def __init__(self, metadata: ModelMetadata, variables: Any) -> None:
        self.metadata, self._variables = metadata, variables
        self.crop = crop_policy(metadata)
        evaluator = build_evaluator(metadata, CENTER, self.crop.image_shape)
        self._apply = jax.jit(lambda v, x: jax.nn.softmax(evaluator.scores(v, x)))

    def posteriors(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns the outputs of the softmax, float32 [N, classes]."""
        return self._apply(self._variables, images)

    def run(self, dataset: ImageFileDataset, batch_size: int, on_progress: ProgressFn) -> _Outputs:
        """Returns the outputs for image files.

        Raises:
          UserError: An output is not finite.
        """
        count, name = len(dataset), self.metadata.name
        outputs = np.zeros((count, len(self.metadata.class_names)), np.float32)
        is_readable, levels, seconds = np.zeros(count, bool), np.zeros(count), 0.0
        variables = jax.device_put(self._variables)
        for batch in evaluation_batches(dataset, batch_size):
            on_progress(f"predicting with {name}", int(is_readable.sum()), count)
            before = time.monotonic()
            posteriors = np.asarray(self._apply(variables, batch.images))[batch.mask]
            seconds += time.monotonic() - before
            if not np.isfinite(posteriors).all():
                raise UserError(
                    f"the outputs of this {name} are not finite, because its weights are damaged "
                    "or its training has diverged; export or import others."
                )
            rows = np.asarray(batch.indices[batch.mask])
            outputs[rows], is_readable[rows] = posteriors, True
            levels[rows] = edge_levels(batch.images)[batch.mask]
        return _Outputs(outputs, is_readable, levels, seconds)


def _keep_on_device(loaded: LoadedModel) -> LoadedModel:
    return loaded


def _keep_on_host(loaded: LoadedModel) -> LoadedModel:
    return loaded._replace(variables=jax.device_get(loaded.variables))


def _prefixed(on_progress: ProgressFn, prefix: str) -> ProgressFn:
    return lambda what, done, total: on_progress(f"{prefix}{what}", done, total)
