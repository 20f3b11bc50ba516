"""Photographs of any size, cut into crops of one size when they are decoded.

So one program is compiled for photographs of all shapes: of so many crops, whichever photographs
they are of.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from flax_vision.data.batches import Batch
from flax_vision.data.crops import CropBox, crop_box_in_original, resized_size
from flax_vision.data.dataset import ProgressFn
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.evaluation.device_crops import log_mean
from flax_vision.evaluation.evaluator import (
    BatchPredictions,
    ProtocolEvaluator,
    Step,
    evenly,
    score_batch,
)
from flax_vision.evaluation.grouping import ShapeGroup
from flax_vision.evaluation.metrics import Totals
from flax_vision.evaluation.protocols import Box, Crop, Protocol, crops_of


@dataclass(frozen=True)
class Crops:
    """The crops of a protocol, of photographs of any size; mirror images are left to the device.

    Attributes:
      protocol: whose crops are squares of one size.
      size: height and width of a crop.
      sides: shorter sides that photographs are brought to.
      channels: 3, or 1 for gray images.
    """

    protocol: Protocol
    size: int
    sides: tuple[int, ...]
    channels: int

    @property
    def number(self) -> int:
        """Crops of each photograph, those that coincide included."""
        return self._of(self.size, self.size).total()

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """Number of crops, their height, width and channels."""
        return self.number, self.size, self.size, self.channels

    def crop_boxes(self, width: int, height: int) -> list[CropBox]:
        """Returns where the crops lie in a photograph; any at the end, where some coincide."""
        parts = []
        for crop in self._of(width, height):
            brought, box = resized_size((width, height), crop.side), crop.box
            place, size = (box.left, box.top), (box.width, box.height)
            parts.append(crop_box_in_original((width, height), brought, place, size))
        return parts + parts[:1] * (self.number - len(parts))

    def counts(self, width: int, height: int) -> list[int]:
        """Returns how often each of the parts counts: 0 for those at the end."""
        counts = list(self._of(width, height).values())
        return counts + [0] * (self.number - len(counts))

    def _of(self, width: int, height: int) -> Counter[Crop]:
        return _crops(self.protocol, (height, width), self.size, self.sides)


@lru_cache(1000)  # most photographs are of a few shapes
def _crops(
    protocol: Protocol, size: tuple[int, int], crop: int, sides: tuple[int, ...]
) -> Counter[Crop]:
    return crops_of(protocol, size, crop, sides, flip=False)


@dataclass(frozen=True)
class HostCropGroup(ShapeGroup):
    """Photographs, and what a network is shown of them: crops that are cut on the host.

    Attributes:
      trial: of single crops.
      counts: float32 [N, crops], how often each crop of each photograph counts.
      at_once: photographs that are cut up at once.
    """

    counts: np.ndarray
    at_once: int

    @property
    def computed(self) -> int:
        """Crops that are computed, of the photographs that have the most."""
        return int((self.counts > 0).sum(axis=1).max()) * super().computed

    def batch_size(self, wanted: int | None) -> int:
        """Returns the crops in a step: as many as are wanted, or as memory allows."""
        count = self.at_once * self.counts.shape[1]
        return min(wanted, count) if wanted else evenly(count, self.trial.batch_size)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields every photograph once, as all of its crops."""
        del batch_size  # which is of crops
        return super().batches(self.at_once)

    def compile(self, variables: Any, batch_size: int) -> Step:
        """Returns the step for a batch of photographs, whose crops it goes through in chunks.

        Args:
          variables: of the network, or their shapes.
          batch_size: crops in a chunk, the last of which is filled up.

        Raises:
          UserError: the network cannot take the crops.
        """
        scores = self.trial.compile_scores(variables, batch_size)
        labels = np.zeros(self.at_once, np.int32)
        _average(*self._nothing(self.at_once), labels, labels > 0)  # so that it is compiled
        return partial(self._step, scores, batch_size)

    def _step(
        self,
        scores: Callable[[Any, np.ndarray], jax.Array],
        batch_size: int,
        variables: Any,
        batch: Batch,
    ) -> tuple[Totals, BatchPredictions]:
        """Returns what `compile` says; `scores` are of so many crops."""
        crops = np.asarray(batch.images).reshape(-1, *self.trial.image_shape)
        found, counts = self._nothing(len(crops) // self.counts.shape[1])
        counts[batch.mask] = self.counts[batch.indices][batch.mask]
        wanted = np.flatnonzero(counts)
        # All are handed to the device before the first answer is waited for.
        chunks = [wanted[first : first + batch_size] for first in range(0, len(wanted), batch_size)]
        answers = [scores(variables, crops[np.resize(chunk, batch_size)]) for chunk in chunks]
        for chunk, answer in zip(chunks, answers, strict=True):
            found.reshape(counts.size, -1)[chunk] = np.asarray(answer)[: len(chunk)]
        return _average(found, counts, batch.labels, batch.mask)

    def _nothing(self, photographs: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns scores and counts for the crops of so many photographs, all of them 0."""
        shape, classes = (photographs, self.counts.shape[1]), len(self.trial.metadata.class_names)
        return np.zeros((*shape, classes), np.float32), np.zeros(shape, np.float32)


@jax.jit
def _average(
    scores: jax.Array, counts: jax.Array, labels: jax.Array, mask: jax.Array
) -> tuple[Totals, BatchPredictions]:
    """Returns what `score_batch` does of the mean of posteriors, which are given as logarithms."""
    return score_batch(log_mean(scores, counts, axis=1), labels, mask)


def cut_up(
    photographs: ImageFileDataset,
    protocol: Protocol,
    trial: ProtocolEvaluator,
    on_progress: ProgressFn,
) -> HostCropGroup:
    """Returns photographs as the crops of a protocol.

    Args:
      photographs: of any size.
      protocol: whose crops are squares of one size.
      trial: of the network under that protocol, which has the scales.
      on_progress: called while headers are read, which say what coincides.
    """
    assert trial.crops
    size, _ = next(iter(trial.crops)).shape
    channels = photographs.image_shape[-1]
    crops = Crops(protocol, size, trial.sides, channels)
    counts = [crops.counts(*(found or (size, size))) for found in photographs.sizes(on_progress)]
    flips = (False, True)[: 1 + trial.has_flips]
    whole = Counter(Crop(size, Box(0, 0, size, size), (size, size), flip) for flip in flips)
    shape = (size, size, channels)
    of_crops = dataclasses.replace(trial, crops=whole, image_shape=shape, are_cut=True)
    at_once = evenly(len(photographs), trial.batch_size)
    places = np.arange(len(photographs))
    return HostCropGroup(
        of_crops, photographs.with_eval_crops(crops), places, np.array(counts, np.float32), at_once
    )
