"""Labeled images: the base class of all datasets, and datasets in memory."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

import numpy as np

ProgressFn = Callable[[str, int, int], None]
"""Function that gets the name of a task, the images done and the total."""

Epoch = tuple[int, int]
"""Seed of the run and number of a training epoch."""

ImageBatches = Iterator[tuple[np.ndarray, np.ndarray]]
"""Pairs of images, uint8 [N, H, W, C], and a mask of the readable ones, bool [N]."""


class Dataset(ABC):
    """Labeled images: an `ArrayDataset` or an `ImageFileDataset`.

    Attributes:
      in_memory: Whether batches need no reading.
      labels: int32 [N], indices into `class_names`; `LazyLabels` if they come with the images.
      class_names: Name of each class.
      image_shape: Height, width and channels of each image.
      unreadable: Reasons by the names of the images that were skipped so far.
      warnings: Sentences about unused files and folders beside the images.
    """

    in_memory: ClassVar[bool]
    labels: np.ndarray
    class_names: Sequence[str]
    warnings: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels."""

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Reasons by the names of the images that were skipped so far."""
        return {}

    @property
    def labels_known(self) -> bool:
        """Whether all labels are in memory; False for those that come with the images."""
        return isinstance(self.labels, np.ndarray)

    @property
    def imbalance(self) -> float | None:
        """Ratio of the largest to the smallest class with images; 1 for none, None if unknown."""
        if not self.labels_known:
            return None
        _, counts = np.unique(self.labels, return_counts=True)
        return float(counts.max() / counts.min()) if len(counts) else 1.0

    @abstractmethod
    def take(self, indices: np.ndarray) -> Self:
        """Returns the dataset of the images at `indices`, in that order."""

    @abstractmethod
    def fingerprints(self) -> Iterator[bytes]:
        """Yields the identity of each image: the name of its file, or its pixels."""

    @abstractmethod
    def batches(self, index_groups: Sequence[np.ndarray], epoch: Epoch | None) -> ImageBatches:
        """Yields the images of each group of indices.

        Args:
          index_groups: int [N] each; the last may be shorter. Indices are modulo the length of the
            dataset; larger ones have other random numbers.
          epoch: Training epoch; None for evaluation.
        """


@dataclass(frozen=True)
class ArrayDataset(Dataset):
    """Labeled images in memory.

    Attributes:
      images: uint8 [N, H, W, C].
      labels: int32 [N], indices into `class_names`.
      class_names: Name of each class.
      warnings: Sentences about unused images.
    """

    in_memory = True

    images: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    warnings: Sequence[str] = ()

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        return self.images.shape[1:]

    def take(self, indices: np.ndarray) -> Self:
        """Returns the dataset of the images at `indices`, in that order."""
        images, labels = self.images[indices], self.labels.take(indices)
        return dataclasses.replace(self, images=images, labels=labels)

    def fingerprints(self) -> Iterator[bytes]:
        """Yields the pixels of each image."""
        return (image.tobytes() for image in self.images)

    def batches(self, index_groups: Sequence[np.ndarray], epoch: Epoch | None) -> ImageBatches:
        """Yields the images of each group of indices, all of them readable."""
        del epoch  # augmentation happens on the device
        for indices in index_groups:
            yield self.images[indices % len(self)], np.ones(len(indices), bool)


DatasetT = TypeVar("DatasetT", bound=Dataset)


def random_split(dataset: DatasetT, fraction: float, seed: int = 0) -> tuple[DatasetT, DatasetT]:
    """Splits a dataset in two by random numbers that depend only on the seed and the index.

    Args:
      dataset: Dataset to split. Its labels are not used.
      fraction: Share of the images for the second subset, rounded to whole images.
      seed: Seed of the random numbers.

    Returns:
      Both subsets, each in the order of `dataset`.
    """
    # RandomState's streams, unlike Generator's, never change between releases of NumPy.
    order = np.random.RandomState(seed).permutation(len(dataset))
    size = round(fraction * len(dataset))
    return dataset.take(np.sort(order[size:])), dataset.take(np.sort(order[:size]))


def stratified_split(dataset: DatasetT, fraction: float) -> tuple[DatasetT, DatasetT]:
    """Splits a dataset in two, with the same proportion of each class, deterministically.

    Args:
      dataset: Dataset to split.
      fraction: Share of each class for the second subset, rounded to whole images.

    Returns:
      Both subsets, each in the order of `dataset`.
    """
    # RandomState's streams, unlike Generator's, never change between releases of NumPy.
    random = np.random.RandomState(0)
    is_second = np.zeros(len(dataset), bool)
    for label in range(len(dataset.class_names)):
        members = random.permutation(np.flatnonzero(dataset.labels == label))
        is_second[members[: round(fraction * len(members))]] = True
    return dataset.take(np.flatnonzero(~is_second)), dataset.take(np.flatnonzero(is_second))
