"""The order of images in an epoch, and their batches."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from flax_vision.data.dataset import Dataset, Epoch

Array = jax.Array | np.ndarray
"""A NumPy array on the host, or a JAX array in a compiled step."""

_ALL_ROWS = slice(None)


class Batch(NamedTuple):
    """Images of one training or evaluation step.

    Attributes:
      images: uint8 [N, H, W, C].
      labels: int32 [N].
      mask: bool [N], False for padding and for unreadable images, which do not count.
      indices: int32 [N], positions of the images in the dataset. Each repetition of an image in an
        epoch adds the length of the dataset, and so gets another augmentation.
    """

    images: Array
    labels: Array
    mask: Array
    indices: Array


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of `size` images in an epoch, a function of (seed, epoch) alone."""
    return np.random.default_rng((seed, epoch)).permutation(size)


def balanced_order(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of an epoch with equally many images of each class.

    Each class gives permutations of its images, one after the other, until its share is full. If
    the shares are not whole, random classes get one image more. The order depends only on (seed,
    epoch) and the labels.

    Args:
      labels: int32 [N], the class of each image.
      seed: Seed of the run.
      epoch: Number of the epoch, from 0.

    Returns:
      int64 [N], positions of the images; each repetition of an image adds N.
    """
    random = np.random.default_rng((seed, epoch))
    size, classes = len(labels), np.unique(labels)
    shares = size // len(classes) + (random.permutation(len(classes)) < size % len(classes))
    uses = []
    for label, share in zip(classes, shares, strict=True):
        members = np.flatnonzero(labels == label)
        rounds = range(-(-share // len(members)))
        permutations = [random.permutation(members) + size * use for use in rounds]
        uses.append(np.concatenate(permutations)[:share])
    return random.permutation(np.concatenate(uses))


def training_batches(
    dataset: Dataset,
    batch_size: int,
    seed: int,
    epoch: int,
    start: int = 0,
    reshuffle: bool = True,
    steps_per_call: int = 1,
    rows: np.ndarray | slice = _ALL_ROWS,
    sampler: str = "shuffle",
) -> Iterator[Batch]:
    """Yields the full batches of an epoch and drops the remainder.

    Args:
      dataset: Training set.
      batch_size: Images in each batch.
      seed: Seed of the run.
      epoch: Number of the epoch, from 0.
      start: Number of batches of this epoch that were used before.
      reshuffle: Whether each epoch has a new order.
      steps_per_call: Number of batches that are stacked to arrays [steps_per_call, batch_size,
        ...]; the last stack may be shorter. With 1, arrays are [batch_size, ...].
      rows: int [n], positions in each batch that this process reads.
      sampler: `"shuffle"` for each image once, or `"balanced"` for each class equally often.
    """
    order = _order(dataset, seed, epoch if reshuffle else 0, sampler)
    indices = order[start * batch_size : len(order) // batch_size * batch_size]
    grid = indices.reshape(-1, batch_size)[:, rows]
    calls = [
        grid[first : first + steps_per_call].ravel()
        for first in range(0, len(grid), steps_per_call)
    ]
    for batch in _batches(dataset, calls, (seed, epoch)):
        if steps_per_call > 1:
            batch = Batch(*(x.reshape(-1, grid.shape[1], *x.shape[1:]) for x in batch))
        yield batch


def evaluation_batches(
    dataset: Dataset, batch_size: int, rows: np.ndarray | slice = _ALL_ROWS
) -> Iterator[Batch]:
    """Yields every image once, in order; the last batch is padded and masked.

    Args:
      dataset: Set of images.
      batch_size: Images in each batch.
      rows: int [n], positions in each batch that this process reads.
    """
    indices = np.arange(-(-len(dataset) // batch_size) * batch_size)
    grid = indices.reshape(-1, batch_size)[:, rows]
    batches = _batches(dataset, list(np.minimum(grid, len(dataset) - 1)), None)
    for batch, is_image in zip(batches, grid < len(dataset), strict=True):
        yield batch._replace(mask=batch.mask & is_image)


def sample_batch(
    dataset: Dataset, size: int, seed: int, epoch: int, sampler: str = "shuffle"
) -> Batch:
    """Returns the first `size` images of an epoch, or all images of a smaller set."""
    indices = _order(dataset, seed, epoch, sampler)[:size]
    (batch,) = _batches(dataset, [indices], None)
    return batch


def batch_shapes(image_shape: tuple[int, ...], batch_size: int) -> Batch:
    """Returns the shapes and types of a batch in place of its arrays."""
    shape: Any = jax.ShapeDtypeStruct
    images = shape((batch_size, *image_shape), np.uint8)
    return Batch(images, *(shape((batch_size,), dtype) for dtype in (np.int32, np.bool, np.int32)))


def _order(dataset: Dataset, seed: int, epoch: int, sampler: str) -> np.ndarray:
    if sampler == "balanced":
        return balanced_order(dataset.labels, seed, epoch)
    return epoch_order(len(dataset), seed, epoch)


def _batches(
    dataset: Dataset, index_groups: Sequence[np.ndarray], epoch: Epoch | None
) -> Iterator[Batch]:
    batches = dataset.batches(index_groups, epoch)
    for indices, (images, is_readable) in zip(index_groups, batches, strict=True):
        labels = dataset.labels[indices % len(dataset)]
        yield Batch(images, labels, is_readable, indices.astype(np.int32))
