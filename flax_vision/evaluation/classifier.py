"""A trained network that tells what is in photographs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flax_vision.data.background import background_hint, edge_levels
from flax_vision.data.batches import Batch, evaluation_batches
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import ProgressFn
from flax_vision.data.file_list import FileList
from flax_vision.data.flags import MAX_PIXELS
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluator import prepare
from flax_vision.evaluation.image_paths import find_photographs, truth_of
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.run_data import OPTIONS, view_of
from flax_vision.runtime import cpu_features
from flax_vision.weights.loading import load_model

_BATCH_SIZES = (1, 2, 4, 8, 16, 32)
"""Images in a step: few sizes, each compiled once and kept for later calls and programs."""


@dataclass(frozen=True)
class Prediction:
    """What a network takes a photograph for.

    Attributes:
      path: of the photograph.
      classes: names of the most probable classes, the first the most probable.
      probabilities: float32 [top], theirs: outputs of the softmax.
      truth: the class after which the photograph's folder is named; None where it is not.
    """

    path: Path
    classes: Sequence[str]
    probabilities: np.ndarray
    truth: str | None = None


class Predictions(Sequence[Prediction]):
    """What a network takes photographs for, in their order.

    Attributes:
      unreadable: by their path, those that could not be read and are not among the predictions, and
        why.
      seconds: that the photographs took, reading them and compiling included.
      network_seconds: of these, those in which the network was computed, or compiled.
      hint: Advice if the photographs look like negatives of the training images, else empty.
    """

    def __init__(
        self,
        found: Sequence[Prediction],
        unreadable: Mapping[str, str],
        seconds: float,
        network_seconds: float,
        hint: str = "",
    ) -> None:
        self._found = found
        self.unreadable = unreadable
        self.seconds = seconds
        self.network_seconds = network_seconds
        self.hint = hint

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    def __len__(self) -> int:
        return len(self._found)


class Classifier:
    """A trained network with its parameters and all that happens to a photograph before it.

    ```python
    classifier = fv.Classifier("runs/lenet5")
    for prediction in classifier.predict(["photographs"]):
        print(prediction.path, prediction.classes[0], prediction.probabilities[0])
    ```

    Attributes:
      metadata: of the network: its name, classes and preprocessing.
      note: A line about the checkpoint of an unfinished run; empty for an export.
    """

    def __init__(self, path: str | Path, *, max_pixels: int = MAX_PIXELS) -> None:
        """Loads what training or an import left behind.

        Args:
          path: An export directory, or a run directory.
          max_pixels: Bound on the pixels of a photograph.

        Raises:
          UserError: The model is missing or damaged, or does not accept photographs.
        """
        loaded = load_model(path)
        self.metadata, self.note, self._variables = loaded.metadata, loaded.note, loaded.variables
        self._view = view_of(self.metadata)
        self._max_pixels = max_pixels
        trial = prepare(self.metadata, CENTER, self._view.image_shape)

        def posteriors(variables: Any, images: jax.Array) -> jax.Array:
            return jax.nn.softmax(trial.scores(variables, images))

        self._posteriors = jax.jit(posteriors)

    def posteriors(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns what the network takes images for that are seen as they are.

        Args:
          images: uint8 [N, H, W, C], of the card's `image_shape`.

        Returns:
          float32 [N, classes], outputs of the softmax.
        """
        found: jax.Array = self._posteriors(self._variables, images)
        return found

    def predict(
        self,
        photographs: str | Path | Sequence[str | Path],
        top: int = 5,
        *,
        batch_size: int | None = None,
        threads: int = 0,
        on_progress: ProgressFn = lambda what, done, total: None,
    ) -> Predictions:
        """Returns what the network takes photographs for, each seen as in the run's own test.

        JPEG, PNG, WebP, BMP, GIF, TIFF and PPM files of any size and mode are taken, upright by
        their EXIF orientation. They are decoded by threads while the network works.

        Args:
          photographs: files, and folders that have images at any depth; or one of them.
          top: how many of the most probable classes to name.
          batch_size: images in a step; None for up to 32.
          threads: that decode; 0 for one a core.
          on_progress: called with a text, the photographs done so far and their number.

        Raises:
          UserError: there are no photographs, `top` is below 1, or the network does not answer with
            numbers.
        """
        if top < 1:
            raise UserError(f"top is {top}; give at least 1, the number of classes to name.")
        paths, _, absent = find_photographs(photographs)
        started = time.monotonic()
        network_seconds = 0.0
        images = self._set_of(paths, threads)
        names = self.metadata.class_names
        found: list[Prediction] = []
        levels = [np.empty(0)]
        for batch in self._batches(images, batch_size):
            on_progress(f"looking with {self.metadata.name}", len(found), len(paths))
            before = time.monotonic()
            posteriors = np.asarray(self.posteriors(batch.images))
            network_seconds += time.monotonic() - before
            self._check_answers(posteriors[batch.mask])
            levels.append(edge_levels(batch.images)[batch.mask])
            for place, row in zip(batch.indices[batch.mask], posteriors[batch.mask], strict=True):
                order = np.argsort(-row, kind="stable")[:top]
                classes, path = [names[i] for i in order], paths[place]
                found.append(Prediction(path, classes, row[order], truth_of(path, names)))
        seconds = time.monotonic() - started
        hint = background_hint(np.concatenate(levels), self.metadata.background)
        unreadable = {**absent, **images.unreadable}
        return Predictions(found, unreadable, seconds, network_seconds, hint)

    def _check_answers(self, posteriors: np.ndarray) -> None:
        if not np.isfinite(posteriors).all():
            raise UserError(
                f"this {self.metadata.name} answers with what is not a number, so its weights are "
                "damaged, or its training has diverged; export or import others."
            )

    def seen(self, path: Path) -> np.ndarray:
        """Returns the part of a photograph that the network sees, uint8 [H, W, C]."""
        (views,) = self._set_of([path], 1).batches([np.arange(1)], None)
        return np.asarray(views[0][0])

    def _set_of(self, paths: Sequence[Path], threads: int) -> ImageFileDataset:
        """Returns photographs whose classes nobody knows."""
        threads = threads or cpu_features.usable_cores()
        reading = DecodeConfig(self._view, "skip", threads, OPTIONS, self._max_pixels)
        unknown = np.zeros(len(paths), np.int32)
        numbers = np.arange(len(paths))
        files = FileList(paths, self._max_pixels)
        return ImageFileDataset(files, numbers, unknown, self.metadata.class_names, reading)

    def _batches(self, images: ImageFileDataset, batch_size: int | None) -> Iterator[Batch]:
        fitting = [size for size in _BATCH_SIZES if size >= len(images)]
        size = batch_size or (fitting or _BATCH_SIZES[-1:])[0]
        return evaluation_batches(images, size)
