"""A set under a protocol: its images by their shape, and what the network is shown of each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from flax_vision.data.batches import Batch, evaluation_batches
from flax_vision.data.crops import CenterCrop, aspect_bucket_crop
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.evaluation.evaluator import ProtocolEvaluator, Step, evenly

Prepare = Callable[[tuple[int, ...]], ProtocolEvaluator]
"""From the height, width and channels of images to the network under a protocol."""


@dataclass(frozen=True)
class ShapeGroup:
    """Images of one shape, and what a network is shown of them.

    Attributes:
      trial: the network and its crops.
      images: the images.
      places: int [N], where they are in the whole set.
    """

    trial: ProtocolEvaluator
    images: Dataset
    places: np.ndarray

    def batch_size(self, wanted: int | None) -> int:
        """Returns the images in a step: as many as are wanted, or as memory allows."""
        count = len(self.images)
        return min(wanted, count) if wanted else evenly(count, self.trial.batch_size)

    @property
    def computed(self) -> int:
        """Crops that are computed, of the images that have the most."""
        return len(self.trial.crops or [None])

    def compile(self, variables: Any, batch_size: int) -> Step:
        """Returns the compiled step, as from `ProtocolEvaluator.compile`."""
        return self.trial.compile(variables, batch_size)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yields every image once, with its place in the whole set."""
        for batch in evaluation_batches(self.images, batch_size):
            yield batch._replace(indices=self.places[batch.indices].astype(np.int32))


def as_they_are(images: Dataset, prepare: Prepare) -> list[ShapeGroup]:
    """Returns a set as it is: small images, or the views of a run's own test.

    Args:
      images: of one shape.
      prepare: from the shape of images to the trial.
    """
    return [ShapeGroup(prepare(images.image_shape), images, np.arange(len(images)))]


def middle_squares(images: ImageFileDataset, side: int, prepare: Prepare) -> list[ShapeGroup]:
    """Returns the middle squares of photographs whose shorter side is brought to a length."""
    middle = CenterCrop(side, side, side, images.image_shape[-1])
    return as_they_are(images.with_eval_crops(middle), prepare)


def in_their_proportions(
    images: ImageFileDataset,
    side: int,
    prepare: Prepare,
    on_progress: ProgressFn,
) -> list[ShapeGroup]:
    """Returns photographs whose shorter side is brought to a length, by their shape.

    Images that cannot be read go with any others, and are found again when they are decoded.

    Args:
      images: of any size.
      side: the length in pixels.
      prepare: from the shape of images to the trial.
      on_progress: called while headers are read.
    """
    groups: dict[CenterCrop, list[int]] = {}
    unreadable: list[int] = []
    for place, size in enumerate(images.sizes(on_progress)):
        if size is None:
            unreadable.append(place)
        else:
            middle = aspect_bucket_crop(*size, side, images.image_shape[-1])
            groups.setdefault(middle, []).append(place)
    first = next(iter(groups), CenterCrop(side, side, side, images.image_shape[-1]))
    groups.setdefault(first, []).extend(unreadable)
    return [
        ShapeGroup(
            prepare(middle.image_shape),
            images.take(np.sort(places)).with_eval_crops(middle),
            np.sort(places),
        )
        for middle, places in groups.items()
    ]
