"""Upright images of EMNIST, which its publisher and TFDS store transposed."""

import dataclasses
import io
from dataclasses import dataclass
from typing import IO

from PIL import Image

from flax_vision.data.dataset import ArrayDataset, Dataset
from flax_vision.data.image_files import Files, ImageFileDataset

TRANSPOSED = ("emnist",)
"""TFDS names of the sets that are published with rows and columns exchanged."""

_CHUNK = 1024
"""Images per copy."""


def upright(name: str, dataset: Dataset) -> Dataset:
    """Returns a dataset with upright images; only transposed sets change.

    Args:
      name: TFDS name without a configuration.
      dataset: Images as stored in the set. Arrays change in place.
    """
    if name not in TRANSPOSED:
        return dataset
    if isinstance(dataset, ArrayDataset):
        for start in range(0, len(dataset), _CHUNK):
            images = dataset.images[start : start + _CHUNK]
            images[...] = images.swapaxes(1, 2).copy()
    elif isinstance(dataset, ImageFileDataset):
        dataset = dataclasses.replace(dataset, files=_UprightFiles(dataset.files))
    return dataset


@dataclass(frozen=True)
class _UprightFiles:
    """Encoded images that are transposed when they are opened.

    Attributes:
      files: Source of the stored images.
    """

    files: Files

    def open(self, index: int) -> IO[bytes]:
        """Returns an encoded image, read as a whole."""
        encoded = io.BytesIO()
        with self.files.open(index) as file, Image.open(file) as image:
            image.transpose(Image.Transpose.TRANSPOSE).save(encoded, format="png")
        encoded.seek(0)
        return encoded

    def name(self, index: int) -> str:
        """Returns the name of an image for messages."""
        return self.files.name(index)

    def key(self, index: int) -> str:
        """Returns the identity of an image."""
        return self.files.key(index)
