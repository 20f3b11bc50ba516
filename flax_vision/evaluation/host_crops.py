"""Image files of any size, decoded into crops of one size on the host.

Thus one step is compiled for image files of all shapes: it takes a fixed number of crops.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from flax_vision.data.batches import Batch
from flax_vision.data.crops import CropBox, crop_box_in_original, resized_size
from flax_vision.data.dataset import ProgressFn
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.evaluation.device_crops import log_mean
from flax_vision.evaluation.evaluator import Predictions, ProtocolEvaluator, Step, score_batch
from flax_vision.evaluation.grouping import ShapeGroup, even_batch_size
from flax_vision.evaluation.protocols import Crop, Protocol, Scales, make_crops, whole_image

_cached_crops = lru_cache(1000)(make_crops)  # most image files have one of a few sizes


@dataclass(frozen=True)
class HostCrops:
    """The crops of a protocol, without mirror images, for image files of any size.

    Attributes:
      protocol: Protocol with square crops of one size.
      size: Height and width of a crop.
      scales: Shorter sides of the resized image files.
      channels: 3, or 1 for gray images.
    """

    protocol: Protocol
    size: int
    scales: Scales
    channels: int

    @property
    def num_crops(self) -> int:
        """Number of crops of each image file, identical ones included."""
        return self._crops(self.size, self.size).total()

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """Number of crops, and their height, width and channels."""
        return self.num_crops, self.size, self.size, self.channels

    def crop_boxes(self, width: int, height: int) -> list[CropBox]:
        """Returns the boxes of the different crops, padded to `num_crops` with the first one."""
        boxes = []
        for crop in self._crops(width, height):
            box, resized = crop.box, resized_size((width, height), crop.scale)
            offset, size = (box.left, box.top), (box.width, box.height)
            boxes.append(crop_box_in_original((width, height), resized, offset, size))
        return boxes + boxes[:1] * (self.num_crops - len(boxes))

    def counts(self, width: int, height: int) -> list[int]:
        """Returns the count of each box of `crop_boxes`: 0 for the padding."""
        counts = list(self._crops(width, height).values())
        return counts + [0] * (self.num_crops - len(counts))

    def _crops(self, width: int, height: int) -> Counter[Crop]:
        return _cached_crops(self.protocol, (height, width), self.size, self.scales, flip=False)


@dataclass(frozen=True)
class HostCropGroup(ShapeGroup):
    """Image files that the host decodes into crops, and the evaluator of single crops.

    Attributes:
      counts: float32 [N, crops], the count of each crop of each image file.
      at_once: Number of image files decoded at once.
    """

    counts: np.ndarray
    at_once: int

    @property
    def crops_computed(self) -> int:
        """Largest number of different crops of an image file."""
        return int((self.counts > 0).sum(axis=1).max()) * super().crops_computed

    def batch_size(self, requested: int | None) -> int:
        """Returns the number of crops in a step: as requested, or as memory allows."""
        count = self.at_once * self.counts.shape[1]
        return min(requested or even_batch_size(count, self.evaluator.batch_size), count)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields every image file once, as all of its crops; `batch_size` counts crops."""
        return super().batches(self.at_once)

    def compile(self, variables: Any, batch_size: int) -> Step:
        """Returns a step for a batch of image files, which computes their crops in chunks.

        Args:
          variables: Variables of the model, or their shapes.
          batch_size: Number of crops in a chunk; the last chunk is padded.

        Raises:
          UserError: The model does not accept the crops.
        """
        score_crops = self.evaluator.compile_scores(variables, batch_size)
        num_classes = len(self.evaluator.metadata.class_names)
        shape = (self.at_once, self.counts.shape[1], num_classes)
        outputs = self.evaluator.top, self.evaluator.has_posteriors
        labels, counts = np.zeros(self.at_once, np.int32), self.counts[: self.at_once]
        _average(np.zeros(shape, np.float32), counts, labels, labels > 0, *outputs)  # compiles it

        def step(variables: Any, batch: Batch) -> Predictions:
            crops = np.asarray(batch.images).reshape(-1, *self.evaluator.image_shape)
            counts = np.where(batch.mask[:, None], self.counts[batch.indices], 0)
            needed = np.flatnonzero(counts)
            chunks = [needed[i : i + batch_size] for i in range(0, len(needed), batch_size)]
            # The device gets all chunks before the host waits for the first result.
            results = [score_crops(variables, crops[np.resize(x, batch_size)]) for x in chunks]
            scores = np.zeros(shape, np.float32)
            for chunk, result in zip(chunks, results, strict=True):
                scores.reshape(-1, num_classes)[chunk] = np.asarray(result)[: len(chunk)]
            return _average(scores, counts, batch.labels, batch.mask, *outputs)

        return step


@partial(jax.jit, static_argnames=("top", "has_posteriors"))
def _average(
    scores: Any, counts: Any, labels: Any, mask: Any, top: int, has_posteriors: bool
) -> Predictions:
    """Returns the predictions from log probabilities of crops, float32 [N, crops, classes]."""
    return score_batch(log_mean(scores, counts, axis=1), labels, mask, top, has_posteriors)


def host_crop_groups(
    images: ImageFileDataset, evaluator: ProtocolEvaluator, on_progress: ProgressFn
) -> list[HostCropGroup]:
    """Returns one group of image files as crops.

    Args:
      images: Image files of any size.
      evaluator: Evaluator of a protocol with square crops of one size.
      on_progress: Function called while headers are read; sizes decide which crops are identical.
    """
    assert evaluator.protocol
    size, _ = next(iter(evaluator.crops)).shape
    crops = HostCrops(evaluator.protocol, size, evaluator.scales, images.image_shape[-1])
    counts = [crops.counts(*(shape or (size, size))) for shape in images.sizes(on_progress)]
    whole = make_crops(Protocol(whole_image), (size, size), size, (size,), evaluator.has_flips)
    single = replace(
        evaluator, crops=whole, image_shape=crops.image_shape[1:], images_are_crops=True
    )
    at_once = even_batch_size(len(images), evaluator.batch_size)
    indices, weights = np.arange(len(images)), np.array(counts, np.float32)
    return [HostCropGroup(single, images.with_eval_crops(crops), indices, weights, at_once)]
