"""The order of the images, and their batches."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from flax_vision.data.dataset import Array, Dataset


class Batch(NamedTuple):
    """Images that go through the network together.

    Attributes:
      images: uint8 [N, H, W, C].
      labels: int32 [N].
      mask: bool [N], False where an image only fills the batch up, or could not be read,
        and does not count.
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
    images: Dataset,
    batch_size: int,
    seed: int,
    epoch: int,
    start: int = 0,
    constant_order: bool = False,
    at_once: int = 1,
    rows: np.ndarray | None = None,
) -> Iterator[Batch]:
    """Yields the whole batches of an epoch; the images left over come in other epochs.

    Args:
      images: the training set.
      batch_size: images in each batch.
      seed: of the run.
      epoch: counted from 0.
      start: batches of this epoch that have been used already.
      constant_order: whether every epoch has the order of the first.
      at_once: batches that come together, as arrays [at_once, batch_size, ...], the last time those
        that are left; with 1, arrays are [batch_size, ...].
      rows: int [n], which images of each batch are wanted; None for all.
    """
    order = epoch_order(len(images), seed, 0 if constant_order else epoch)
    places = order[start * batch_size : len(order) // batch_size * batch_size]
    grid = _wanted(places.reshape(-1, batch_size), rows)
    groups = [grid[first : first + at_once].ravel() for first in range(0, len(grid), at_once)]
    for batch in _batches(images, groups, (seed, epoch)):
        if at_once > 1:
            batch = Batch(*(x.reshape(-1, grid.shape[1], *x.shape[1:]) for x in batch))
        yield batch


def evaluation_batches(
    images: Dataset, batch_size: int, rows: np.ndarray | None = None
) -> Iterator[Batch]:
    """Yields every image once, in order; the last batch is filled up and masked.

    Args:
      images: the set.
      batch_size: images in each batch.
      rows: int [n], which images of each batch are wanted; None for all.
    """
    places = np.arange(-(-len(images) // batch_size) * batch_size)
    wanted = _wanted(places.reshape(-1, batch_size), rows)
    groups, masks = list(np.minimum(wanted, len(images) - 1)), wanted < len(images)
    for batch, mask in zip(_batches(images, groups, None), masks, strict=True):
        yield batch._replace(mask=batch.mask & mask)


def _wanted(places: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    return places if rows is None else places[:, rows]


def samples(images: Dataset, size: int, seed: int, epoch: int) -> Batch:
    """Returns the first images of an epoch, all of them where there are not so many."""
    places = epoch_order(len(images), seed, epoch)[:size]
    (batch,) = _batches(images, [places], None)
    return batch


def batch_shapes(image_shape: tuple[int, ...], batch_size: int) -> Batch:
    """Returns the shapes and types of a batch of such images, in place of its arrays."""
    shape: Any = jax.ShapeDtypeStruct
    one_each = (batch_size,)
    return Batch(
        shape((batch_size, *image_shape), np.uint8),
        shape(one_each, np.int32),
        shape(one_each, np.bool),
        shape(one_each, np.int32),
    )


def _batches(
    images: Dataset, groups: Sequence[np.ndarray], epoch: tuple[int, int] | None
) -> Iterator[Batch]:
    views = images.views(groups, epoch)
    for places, (pixels, readable) in zip(groups, views, strict=True):
        yield Batch(pixels, images.labels[places], readable, places.astype(np.int32))
