"""A trained model that predicts the classes of image files."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
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
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.run_data import crop_policy
from flax_vision.weights.loading import load_model

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
    """A trained model with its parameters and its preprocessing of image files.

    ```python
    classifier = fv.Classifier("runs/lenet5")
    for prediction in classifier.predict(["photographs"]):
        print(prediction.path, prediction.classes[0], prediction.probabilities[0])
    ```

    Attributes:
      metadata: Description of the model: its name, classes and preprocessing.
      note: A line about the checkpoint of an unfinished run; empty for an export.
    """

    def __init__(self, path: str | Path, *, max_pixels: int = MAX_PIXELS) -> None:
        """Loads a trained or imported model.

        Args:
          path: An export directory, or a run directory.
          max_pixels: Bound on the pixels of an image file.

        Raises:
          UserError: The model is missing or damaged, or does not accept image files.
        """
        self.metadata, _, self._variables, self.note = load_model(path)
        self._crop, self._max_pixels = crop_policy(self.metadata), max_pixels
        evaluator = build_evaluator(self.metadata, CENTER, self._crop.image_shape)
        self._posteriors = jax.jit(lambda v, x: jax.nn.softmax(evaluator.scores(v, x)))

    def posteriors(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns the probabilities of the classes for images without cropping.

        Args:
          images: uint8 [N, H, W, C], with the `image_shape` of the metadata.

        Returns:
          float32 [N, classes], outputs of the softmax.
        """
        return self._posteriors(self._variables, images)

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
        started, model_seconds = time.monotonic(), 0.0
        dataset = self._dataset(paths, threads)
        predictions: list[Prediction] = []
        levels = [np.empty(0)]
        size = next((x for x in _BATCH_SIZES if x >= len(dataset)), _BATCH_SIZES[-1])
        for batch in evaluation_batches(dataset, batch_size or size):
            on_progress(f"predicting with {self.metadata.name}", len(predictions), len(paths))
            before = time.monotonic()
            posteriors = np.asarray(self.posteriors(batch.images))[batch.mask]
            model_seconds += time.monotonic() - before
            if not np.isfinite(posteriors).all():
                raise UserError(
                    f"the outputs of this {self.metadata.name} are not finite, because its weights "
                    "are damaged or its training has diverged; export or import others."
                )
            levels.append(edge_levels(batch.images)[batch.mask])
            for index, row in zip(batch.indices[batch.mask], posteriors, strict=True):
                predictions.append(self._prediction(paths[index], row, top))
        seconds = time.monotonic() - started
        hint = background_hint(np.concatenate(levels), self.metadata.background)
        unreadable = {**unreadable, **dataset.unreadable}
        return PredictionList(predictions, unreadable, seconds, model_seconds, hint)

    def _prediction(self, path: Path, probabilities: np.ndarray, top: int) -> Prediction:
        names = self.metadata.class_names
        order = np.argsort(-probabilities, kind="stable")[:top]
        classes = [names[i] for i in order]
        return Prediction(path, classes, probabilities[order], folder_class(path, names))

    def seen(self, path: Path) -> np.ndarray:
        """Returns the input of the model for an image file: its crop, uint8 [H, W, C]."""
        (crops,) = self._dataset([path], 1).batches([np.arange(1)], None)
        return np.asarray(crops[0][0])

    def _dataset(self, paths: Sequence[Path], threads: int) -> ImageFileDataset:
        """Returns image files as a set without known labels."""
        decode = DecodeConfig(self._crop, "skip", threads, OPTIONS, self._max_pixels)
        indices, labels = np.arange(len(paths)), np.zeros(len(paths), np.int32)
        files = FileList(paths, self._max_pixels)
        return ImageFileDataset(files, indices, labels, self.metadata.class_names, decode)
