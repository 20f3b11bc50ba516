"""A set under a protocol: images grouped by shape, and one pass over all groups."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from flax_vision.data.batches import Batch, evaluation_batches
from flax_vision.data.crops import CenterCrop, aspect_bucket_crop
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluator import Predictions, ProtocolEvaluator, Step
from flax_vision.evaluation.metrics import sum_totals
from flax_vision.text import counted

BuildFn = Callable[[tuple[int, ...]], ProtocolEvaluator]
"""Function from the height, width and channels of images to their evaluator."""


@dataclass(frozen=True)
class ShapeGroup:
    """Images of one shape, and their evaluator.

    Attributes:
      evaluator: The model and its crops.
      images: The images.
      indices: int [N], their indices in the whole set.
    """

    evaluator: ProtocolEvaluator
    images: Dataset
    indices: np.ndarray

    def batch_size(self, requested: int | None) -> int:
        """Returns the number of images in a step: as requested, or as memory allows."""
        count = len(self.images)
        return min(requested or even_batch_size(count, self.evaluator.batch_size), count)

    @property
    def crops_computed(self) -> int:
        """Largest number of different crops of an image."""
        return len(self.evaluator.crops) or 1

    def compile(self, variables: Any, batch_size: int) -> Step:
        """Returns the compiled step; see `ProtocolEvaluator.compile`."""
        return self.evaluator.compile(variables, batch_size)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields every image once, with its index in the whole set."""
        for batch in evaluation_batches(self.images, batch_size):
            yield batch._replace(indices=self.indices[batch.indices].astype(np.int32))


def even_batch_size(count: int, limit: int) -> int:
    """Returns the size of nearly equal batches, as few as batches of `limit` would be."""
    return -(-count // -(-count // limit))


def whole_images(images: Dataset, build: BuildFn) -> list[ShapeGroup]:
    """Returns one group of unchanged images: small images, or the crops of the run's own test.

    Args:
      images: Images of one shape.
      build: Function that builds the evaluator.
    """
    return [ShapeGroup(build(images.image_shape), images, np.arange(len(images)))]


def center_crops(images: ImageFileDataset, scale: int, build: BuildFn) -> list[ShapeGroup]:
    """Returns one group of center squares, resized to `scale` pixels."""
    square = CenterCrop(scale, scale, scale, images.image_shape[-1])
    return whole_images(images.with_eval_crops(square), build)


def aspect_groups(
    images: ImageFileDataset, scale: int, build: BuildFn, on_progress: ProgressFn
) -> list[ShapeGroup]:
    """Returns groups of nearly whole images, by aspect ratio.

    Unreadable images join the first group; decoding finds them again.

    Args:
      images: Images of any size.
      scale: Shorter side of the resized images.
      build: Function that builds the evaluator of a shape.
      on_progress: Function called while headers are read.
    """
    channels = images.image_shape[-1]
    groups: dict[Any, list[int]] = {}
    for index, size in enumerate(images.sizes(on_progress)):
        crop = aspect_bucket_crop(*size, scale, channels) if size else None
        groups.setdefault(crop, []).append(index)
    unreadable = groups.pop(None, [])
    first = next(iter(groups), CenterCrop(scale, scale, scale, channels))
    groups.setdefault(first, []).extend(unreadable)
    return [
        ShapeGroup(build(crop.image_shape), images.take(indices).with_eval_crops(crop), indices)
        for crop, indices in zip(groups, map(np.sort, groups.values()), strict=True)
    ]


class Times(NamedTuple):
    """Duration of a pass over a set.

    Attributes:
      seconds: Seconds of the test, with reading the images but without compilation.
      compile_seconds: Seconds of compilation.
    """

    seconds: float
    compile_seconds: float


def predict_groups(
    groups: Sequence[ShapeGroup], variables: Any, batch_size: int | None, on_progress: ProgressFn
) -> tuple[Predictions, Times]:
    """Runs the model on all images of a set.

    Args:
      groups: Groups that contain each image once.
      variables: Variables of the model.
      batch_size: Number of images in a step; None for as many as memory allows.
      on_progress: Function that gets a text, the images tested so far and their number.

    Returns:
      The predictions in the order of the set, and the duration.

    Raises:
      UserError: The model does not accept the images, memory is too small, or no image is
        readable.
    """
    model, count = groups[0].evaluator.metadata.name, sum(len(group.images) for group in groups)
    results: list[tuple[np.ndarray, Predictions]] = []
    compile_seconds, done, begun = 0.0, 0, time.monotonic()
    for group in groups:
        size = group.batch_size(batch_size)
        on_progress("compiling", 0, 0)
        with _memory_hint(model, size):
            started = time.monotonic()
            step = group.compile(variables, size)
            compile_seconds += time.monotonic() - started
            for batch in group.batches(size):
                if results:  # so that the reported images are done, and only one batch waits
                    jax.block_until_ready(results[-1])
                on_progress(f"testing {model}", done, count)
                results.append((np.where(batch.mask, batch.indices, -1), step(variables, batch)))
                done += int(np.sum(batch.mask))
    with _memory_hint(model, size):
        merged = merge_predictions(results, count)
    return merged, Times(time.monotonic() - begun - compile_seconds, compile_seconds)


def merge_predictions(results: Sequence[tuple[np.ndarray, Predictions]], count: int) -> Predictions:
    """Returns the predictions of batches in the order of the set.

    Args:
      results: Indices of each batch, -1 for images that do not count, and its predictions.
      count: Number of images in the set.

    Raises:
      UserError: No image is readable.
    """
    totals = sum_totals([batch.totals for _, batch in results])
    totals.averages()  # raises if no image is readable
    first = results[0][1]
    arrays = [np.zeros((count, *x.shape[1:]), x.dtype) for x in first[1:] if x is not None]
    merged = Predictions(totals, *arrays)
    merged.predicted[:] = -1
    for indices, batch in results:
        for array, values in zip(arrays, batch[1 : 1 + len(arrays)], strict=True):
            array[indices[indices >= 0]] = np.asarray(values)[indices >= 0]
    return merged


@contextlib.contextmanager
def _memory_hint(model: str, batch_size: int) -> Iterator[None]:
    """Turns an error for lack of memory into a UserError with advice."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise UserError(
                f"{model} does not fit into memory with {counted(batch_size, 'image')} in a step; "
                "give a smaller --batch-size, or smaller --scales."
            ) from error
        raise
