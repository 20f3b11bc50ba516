"""Labeled images of any size, read and decoded on demand."""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol, Self, TypeVar

import grain
import grain.experimental
import numpy as np

from flax_vision.data.crops import CropBox, DecodeConfig, EvalCrops, Size
from flax_vision.data.dataset import Dataset, Epoch, ImageBatches, ProgressFn
from flax_vision.data.decode import DecodingError, TooManyPixelsError, decode_crops, read_header
from flax_vision.errors import UserError
from flax_vision.runtime import cpu_features

_CROP_STREAM = 1
"""Seed word that separates the random numbers of crops and of the epoch's order."""

_MAX_CHUNK = 8
"""Images that a thread decodes per task; the overhead of a task equals one crop."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Files(Protocol):
    """Encoded images by index."""

    def open(self, index: int) -> IO[bytes]:
        """Opens a file for reading."""

    def name(self, index: int) -> str:
        """Returns the name of a file for messages."""

    def key(self, index: int) -> str:
        """Returns an identifier within the class, identical on every system."""


@dataclass(frozen=True)
class ImageFileDataset(Dataset):
    """Labeled images in files.

    Attributes:
      files: Source of the encoded images.
      indices: int [N], indices into `files`.
      labels: int32 [N], indices into `class_names`.
      class_names: Name of each class.
      decode_config: Settings for reading.
      eval_crops: Crops in evaluation; None for the center crop of `decode_config`.
      skipped: Reasons by the index of each image that was skipped so far.
      warnings: Sentences about unused files and folders beside the images.
    """

    in_memory = False

    files: Files
    indices: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    decode_config: DecodeConfig
    eval_crops: EvalCrops | None = None
    skipped: dict[int, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels, preceded by the number of crops if several."""
        return (self.eval_crops or self.decode_config.crop).image_shape

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Reasons by the names of the images that were skipped so far."""
        return {self._name(index): reason for index, reason in sorted(self.skipped.items())}

    def take(self, indices: np.ndarray) -> Self:
        """Returns the dataset of the images at `indices`, in that order."""
        files, labels = self.indices[indices], self.labels.take(indices)
        return dataclasses.replace(self, indices=files, labels=labels, skipped={})

    def fingerprints(self) -> Iterator[bytes]:
        """Yields the name of each image's file."""
        keys = map(self.files.key, self.indices.tolist())
        return (f"{key}\0".encode(errors="surrogateescape") for key in keys)

    def with_eval_crops(self, eval_crops: EvalCrops) -> Self:
        """Returns the dataset of the same images with other crops in evaluation."""
        return dataclasses.replace(self, eval_crops=eval_crops, skipped={})

    def sizes(self, on_progress: ProgressFn) -> list[Size | None]:
        """Reads the width and height of each image from its header; None if unreadable.

        Args:
          on_progress: Function that gets a text, the headers read and the total.

        Raises:
          UserError: A header is unreadable, and `on_error` is `"stop"`.
        """
        sizes: list[Size | None] = []
        for size in self._map(self._size, range(len(self)), 0):
            sizes.append(size or None)
            on_progress("headers of images", len(sizes), len(self))
        return sizes

    def batches(self, index_groups: Sequence[np.ndarray], epoch: Epoch | None) -> ImageBatches:
        """Yields the crops of each group of indices; threads decode the next groups meanwhile.

        The crop of an image depends only on the seed, the epoch and its index. Unreadable images
        are replaced by another image of the group, so batch normalization sees only real images.

        Args:
          index_groups: int [N] each; the last may be shorter. Indices are modulo the length of the
            dataset; larger ones have other random crops.
          epoch: Training epoch; None for evaluation.

        Raises:
          UserError: An image is unreadable, and `on_error` is `"stop"`.
        """
        if not index_groups:
            return
        size = len(index_groups[0])
        # At least one chunk per thread, if there are as many images.
        chunks_per_group = min(size, max(self._num_threads, -(-size // _MAX_CHUNK)))
        chunks = [
            (group, rows)
            for group, indices in enumerate(index_groups)
            for rows in np.array_split(np.arange(len(indices)), chunks_per_group)
        ]
        buffers: dict[int, tuple[np.ndarray, np.ndarray]] = {}

        def decode_chunk(chunk: tuple[int, np.ndarray]) -> int:
            group, rows = chunk
            indices = index_groups[group]
            if group not in buffers:
                empty = np.empty((len(indices), *self.image_shape), np.uint8)
                # Atomic, so that all threads share the buffers of the first.
                buffers.setdefault(group, (empty, np.zeros(len(indices), bool)))
            images, is_readable = buffers[group]
            for row in rows:
                is_readable[row] = self._decode_into(images[row], int(indices[row]), epoch)
            return group

        def collect(groups: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
            images, is_readable = buffers.pop(groups[0])
            if not is_readable.all():
                images[~is_readable] = images[is_readable.argmax()]
            return images, is_readable

        decoded = self._map(decode_chunk, chunks, chunks_per_group)
        yield from _prefetch(decoded.batch(chunks_per_group, batch_fn=collect))

    def _decode_into(self, out: np.ndarray, index: int, epoch: Epoch | None) -> bool:
        """Writes the crops of an image to `out`; returns whether the image is readable."""
        config, shape = self.decode_config, self.image_shape[-3:]

        def choose(width: int, height: int) -> Sequence[CropBox]:
            if epoch is None:
                return (self.eval_crops or config.crop.center_crop).crop_boxes(width, height)
            random = np.random.default_rng((*epoch, index, _CROP_STREAM))
            return [config.crop.random_crop(width, height, random)]

        crops = self._read(
            index % len(self),
            lambda file: decode_crops(file.read(), choose, shape, config.max_pixels),
        )
        out[...] = 0 if crops is None else np.reshape(crops, out.shape)
        return crops is not None

    def _size(self, index: int) -> Size | tuple[()]:
        max_pixels = self.decode_config.max_pixels
        return self._read(index, lambda file: read_header(file, max_pixels)) or ()

    def _read(self, index: int, read: Callable[[IO[bytes]], _Result]) -> _Result | None:
        """Applies a function to the file of an image; skips an unreadable one and returns None.

        Raises:
          UserError: The image is unreadable, and `on_error` is `"stop"`.
        """
        try:
            with self.files.open(int(self.indices[index])) as file:
                return read(file)
        except (DecodingError, OSError) as error:
            self._skip(index, error)
        return None

    def _skip(self, index: int, error: Exception) -> None:
        """Records an unreadable image, or raises a UserError if `on_error` is `"stop"`."""
        flags = self.decode_config.flags
        # `str` of a system error would repeat the name of the file.
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        if isinstance(error, TooManyPixelsError):
            reason += f"; {flags.max_pixels}N allows more"
        if self.decode_config.on_error == "stop":
            raise UserError(
                f"image {self._name(index)!r} cannot be read ({reason}); repair or remove it, or "
                f"give {flags.on_error}skip to skip and count such images."
            ) from error
        self.skipped[index] = reason

    def _name(self, index: int) -> str:
        return self.files.name(int(self.indices[index]))

    @property
    def _num_threads(self) -> int:
        return self.decode_config.num_threads or cpu_features.usable_cores()

    def _map(self, function: Callable[[_Item], Any], items: Sequence[_Item], ahead: int) -> Any:
        """Applies a function to all items by threads, in order.

        Args:
          function: Function of one item.
          items: Items.
          ahead: Number of finished results to hold, besides two per thread.
        """
        buffer_size = ahead + 2 * self._num_threads
        options = grain.ReadOptions(self._num_threads, prefetch_buffer_size=buffer_size)
        return grain.MapDataset.source(items).map(function).to_iter_dataset(options)


def _prefetch(batches: Any) -> ImageBatches:
    """Yields batches, and collects the next one in another thread."""
    iterator = iter(grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=1))
    close = iterator.close
    try:
        yield from iterator
    except (Exception, KeyboardInterrupt):  # also from a signal; do not wait for a blocked reader
        close = threading.Thread(target=iterator.close, daemon=True).start
        raise
    finally:
        close()
