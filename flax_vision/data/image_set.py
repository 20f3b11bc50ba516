"""Labelled images of one size that fit in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Report = Callable[[str, int, int], None]
"""Called with what is being read, how many images have been read, and how many there are."""


@dataclass(frozen=True)
class ImageSet:
    """Labelled images.

    Attributes:
      images: uint8 [N, H, W, C].
      labels: int32 [N], indices into `class_names`.
      class_names: the name of each class.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "ImageSet":
        """Returns the images at `indices`, in that order."""
        return ImageSet(self.images[indices], self.labels[indices], self.class_names)


def stratified_split(image_set: ImageSet, fraction: float) -> tuple[ImageSet, ImageSet]:
    """Divides a set in two, each class in the same proportion, always in the same way.

    Args:
      image_set: what to divide.
      fraction: share of each class, rounded to whole images, that the second part gets.

    Returns:
      The rest and the part, each in the order of `image_set`.
    """
    # RandomState's streams, unlike Generator's, never change between releases of NumPy.
    random = np.random.RandomState(0)
    part = np.zeros(len(image_set), bool)
    for label in range(len(image_set.class_names)):
        members = random.permutation(np.flatnonzero(image_set.labels == label))
        part[members[: round(fraction * len(members))]] = True
    return image_set.take(np.flatnonzero(~part)), image_set.take(np.flatnonzero(part))
