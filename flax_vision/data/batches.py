"""The order of the images, and their batches."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from flax_vision.data.image_set import ImageSet

Array = jax.Array | np.ndarray
"""Of the host before a compiled step, of the device inside it."""


class Batch(NamedTuple):
    """Images that go through the network together.

    Attributes:
      images: uint8 [N, H, W, C].
      labels: int32 [N].
      mask: bool [N], False where an image only fills the batch up and does not count.
      place: int32 [N], where each image is in its set.
    """

    images: Array
    labels: Array
    mask: Array
    place: Array


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of `size` images in an epoch, which (seed, epoch) alone decide."""
    return np.random.default_rng((seed, epoch)).permutation(size)


def training_batches(
    image_set: ImageSet, batch_size: int, seed: int, epoch: int, start: int = 0
) -> Iterator[Batch]:
    """Yields the whole batches of an epoch; the images left over come in other epochs.

    Args:
      image_set: the training set.
      batch_size: images in each batch.
      seed: of the run.
      epoch: counted from 0.
      start: batches of this epoch that have been used already.
    """
    order = epoch_order(len(image_set), seed, epoch)
    everything = np.ones(batch_size, bool)
    for first in range(start * batch_size, len(order) - batch_size + 1, batch_size):
        indices = order[first : first + batch_size]
        yield _batch(image_set, indices, everything)


def evaluation_batches(image_set: ImageSet, batch_size: int) -> Iterator[Batch]:
    """Yields every image once, in order; the last batch is filled up and masked."""
    for first in range(0, len(image_set), batch_size):
        indices = np.arange(first, first + batch_size)
        mask = indices < len(image_set)
        indices = np.minimum(indices, len(image_set) - 1)
        yield _batch(image_set, indices, mask)


def samples(image_set: ImageSet, size: int, seed: int, epoch: int) -> Batch:
    """Returns the first images of an epoch, all of them where there are not so many."""
    indices = epoch_order(len(image_set), seed, epoch)[:size]
    return _batch(image_set, indices, np.ones(len(indices), bool))


def stacked(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """Yields so many batches at a time, the last time what is left, as arrays [K, N, ...]."""
    while group := list(itertools.islice(batches, count)):
        yield Batch(*map(np.stack, zip(*group, strict=True)))


def _batch(image_set: ImageSet, indices: np.ndarray, mask: np.ndarray) -> Batch:
    place = indices.astype(np.int32)
    return Batch(image_set.images[indices], image_set.labels[indices], mask, place)
