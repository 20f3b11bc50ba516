"""Labeled images, and those of one size that fit in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol, Self, TypeVar

import jax
import numpy as np

Array = jax.Array | np.ndarray
"""Of the host before a compiled step, of the device inside it."""

ProgressFn = Callable[[str, int, int], None]
"""Called with what is being read, how many images have been read, and how many there are."""


class Dataset(Protocol):
    """Labeled images, in memory or not: `ArrayDataset` and `ImageFileDataset`.

    Attributes:
      in_memory: whether nothing has to be waited for.
      labels: int32 [N], indices into `class_names`.
      class_names: the name of each class.
      image_shape: height, width and channels of each image.
      unreadable: names of the images that had to be left out so far, and why.
      notes: Sentences about unused files and folders beside the images.
    """

    @property
    def in_memory(self) -> bool: ...
    @property
    def labels(self) -> np.ndarray: ...
    @property
    def class_names(self) -> Sequence[str]: ...
    @property
    def image_shape(self) -> tuple[int, ...]: ...
    @property
    def unreadable(self) -> Mapping[str, str]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    def __len__(self) -> int: ...

    def take(self, places: np.ndarray) -> Self:
        """Returns the images at `places`, in that order."""
        ...

    def fingerprints(self) -> Iterator[bytes]:
        """Yields what tells each image from others: the name of its file, or its pixels."""
        ...

    def views(
        self, groups: Sequence[np.ndarray], epoch: tuple[int, int] | None
    ) -> Iterator[tuple[Array, np.ndarray]]:
        """Yields the images of each group of places, and which of them could be read.

        Args:
          groups: int [N] each, the last not longer.
          epoch: seed and number of a training epoch; None in a test.

        Yields:
          uint8 [N, H, W, C] and bool [N].
        """
        ...


@dataclass(frozen=True)
class ArrayDataset:
    """Labeled images in memory, of which all is seen.

    Attributes:
      images: uint8 [N, H, W, C].
      labels: int32 [N], indices into `class_names`.
      class_names: the name of each class.
    """

    in_memory = True
    unreadable: ClassVar[Mapping[str, str]] = MappingProxyType({})
    notes: ClassVar[Sequence[str]] = ()

    images: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        return self.images.shape[1:]

    def take(self, places: np.ndarray) -> "ArrayDataset":
        """Returns the images at `places`, in that order."""
        return ArrayDataset(self.images[places], self.labels[places], self.class_names)

    def fingerprints(self) -> Iterator[bytes]:
        """Yields the pixels of each image."""
        return (image.tobytes() for image in self.images)

    def views(
        self, groups: Sequence[np.ndarray], epoch: tuple[int, int] | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the images of each group of places, uint8 [N, H, W, C], and bool [N] of True."""
        del epoch  # what is random happens on the device
        for places in groups:
            yield self.images[places], np.ones(len(places), bool)


Set = TypeVar("Set", bound=Dataset)


def stratified_split(images: Set, fraction: float) -> tuple[Set, Set]:
    """Divides a set in two, each class in the same proportion, always in the same way.

    Args:
      images: what to divide.
      fraction: share of each class, rounded to whole images, that the second part gets.

    Returns:
      The rest and the part, each in the order of `images`.
    """
    # RandomState's streams, unlike Generator's, never change between releases of NumPy.
    random = np.random.RandomState(0)
    part = np.zeros(len(images), bool)
    for label in range(len(images.class_names)):
        members = random.permutation(np.flatnonzero(images.labels == label))
        part[members[: round(fraction * len(members))]] = True
    return images.take(np.flatnonzero(~part)), images.take(np.flatnonzero(part))
