"""Encoded images in a column of a table, by row, and their pixels in memory."""

import io
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from flax_vision.data.crops import CropBox
from flax_vision.data.dataset import ProgressFn
from flax_vision.data.decode import DecodingError, decode_crops, is_gray, read_header
from flax_vision.errors import UserError
from flax_vision.runtime.files import open_regular

_CHUNK = 1000
"""Images per report of the progress."""


class ImageColumn:
    """The encoded images of a split, by row, in a memory-mapped table."""

    def __init__(self, title: str, table: Any, column: str) -> None:
        self.title = title
        content = table.data.column(column)
        self._paths = None
        if content.type.num_fields:  # structures, as of the feature `Image`
            fields = dict(zip(content.type.names, content.flatten(), strict=True))
            content, self._paths = fields["bytes"], fields.get("path")
        self._content = content

    def __len__(self) -> int:
        return len(self._content)

    def open(self, index: int) -> IO[bytes]:
        """Returns an encoded image, or opens the file that the row names.

        Raises:
          OSError: The row has no image, or its file cannot be opened.
        """
        content = self._content[index].as_py()
        if content is not None:
            return io.BytesIO(content)
        if not (path := self._path(index)):
            raise OSError("the row has no image")
        return open_regular(Path(path))

    def name(self, index: int) -> str:
        """Returns the name of a row for messages."""
        path = self._path(index)
        return f"{self.title}, row {index:,}" + (f", {Path(path).name}" if path else "")

    def key(self, index: int) -> str:
        """Returns the row, the name of its file, and the number of bytes.

        The numbers of bytes tell one dataset from another without reading its images.
        """
        return f"{index} {Path(self._path(index)).name} {self._sizes[index]}"

    def _path(self, index: int) -> str:
        return (self._paths is not None and self._paths[index].as_py()) or ""

    @cached_property
    def _sizes(self) -> list[int]:
        from pyarrow import compute

        return compute.binary_length(self._content).fill_null(0).to_pylist()


def common_shape(images: ImageColumn) -> tuple[int, int, int]:
    """Returns the height and width of the first image, and 1 channel if all images are gray, or 3.

    Raises:
      UserError: An image is not readable.
    """
    channels = 1
    for index in range(len(images)):
        try:
            with images.open(index) as file:
                if not index:
                    width, height = read_header(file)
                if not is_gray(file):
                    channels = 3
                    break
        except (DecodingError, OSError) as error:
            raise _unreadable(images, index, error) from error
    return height, width, channels


def read_pixels(
    images: ImageColumn, shape: tuple[int, int, int], advice: str, on_progress: ProgressFn
) -> np.ndarray:
    """Decodes all images into memory, uint8 [N, H, W, C].

    Args:
      images: The encoded images.
      shape: Height, width and channels of all images.
      advice: Sentence for images of other sizes.
      on_progress: Function that gets a text, the images read and the total.

    Raises:
      UserError: An image has another size, or is not readable.
    """

    def whole(width: int, height: int) -> list[CropBox]:
        if (height, width) != shape[:2]:
            raise _OtherSizeError
        return [CropBox(0, 0, width, height)]

    pixels = np.empty((len(images), *shape), np.uint8)
    for index in range(len(images)):
        try:
            with images.open(index) as file:
                (pixels[index],) = decode_crops(file.read(), whole, shape)
        except _OtherSizeError as error:
            raise UserError(advice) from error
        except (DecodingError, OSError) as error:
            raise _unreadable(images, index, error) from error
        if (index + 1) % _CHUNK == 0 or index + 1 == len(images):
            on_progress(images.title, index + 1, len(images))
    return pixels


class _OtherSizeError(DecodingError):
    """An image of another size than the first."""


def _unreadable(images: ImageColumn, index: int, error: Exception) -> UserError:
    return UserError(
        f"image {images.name(index)!r} cannot be read ({error}); repair it, or remove its row."
    )
