"""Labeled images of any size that are read and decoded when they are needed."""

import dataclasses
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple, Protocol

import grain
import grain.experimental
import jax
import numpy as np

from flax_vision.data.crops import CropBox, DecodeConfig, Seen
from flax_vision.data.dataset import ProgressFn
from flax_vision.data.decode import (
    DecodingError,
    TooManyPixelsError,
    decode_parts,
    read_header,
)
from flax_vision.errors import UserError
from flax_vision.runtime import cpu_features

_STREAM = 1
"""Sets the random numbers of views apart from those of the order, of the same seed and epoch."""

_TOGETHER = 8
"""Images, at the most, that a thread decodes in one go: handing over each costs as much as its
crop."""

_ALIGNMENT = 64
"""Bytes, at a multiple of which JAX takes an array on a CPU as it is, without a copy."""


class Files(Protocol):
    """Encoded images by their number."""

    def read(self, index: int) -> bytes:
        """Returns the content of a file."""

    def open(self, index: int) -> IO[bytes]:
        """Returns a file of which only the first bytes are wanted."""

    def name(self, index: int) -> str:
        """Returns what a person finds it by."""

    def key(self, index: int) -> str:
        """Returns what tells it from others of its class, wherever they all lie."""


class _Views(NamedTuple):
    """Views of images, and which of them could be read."""

    images: np.ndarray
    readable: np.ndarray


class _Gathered:
    """The views of groups of images, which threads put there piece by piece."""

    def __init__(self, image_shape: tuple[int, ...]) -> None:
        self._shape = image_shape
        self._groups: dict[int, _Views] = {}
        self._lock = threading.Lock()

    def of(self, group: int, count: int) -> _Views:
        """Returns where the views of a group belong, of so many images."""
        with self._lock:
            if group not in self._groups:
                self._groups[group] = _Views(self._images(count), np.zeros(count, np.bool))
            return self._groups[group]

    def taken(self, group: int) -> _Views:
        """Returns the views of a group, and keeps them no longer."""
        with self._lock:
            return self._groups.pop(group)

    def _images(self, count: int) -> np.ndarray:
        size = count * math.prod(self._shape)
        memory = np.empty(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        return memory[start : start + size].reshape(count, *self._shape)


@dataclass(frozen=True)
class ImageFileDataset:
    """Labeled images, as `ArrayDataset` has them in memory.

    Attributes:
      files: where they are read from.
      indices: int [N], their numbers in `files`.
      labels: int32 [N], indices into `class_names`.
      class_names: the name of each class.
      reading: how they are read.
      seen: what a test sees of each, where that is not the middle of `reading.crop`.
      skipped: by their place in the set, those that could not be read so far, and why.
      notes: Sentences about unused files and folders beside the images.
    """

    in_memory = False

    files: Files
    indices: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    reading: DecodeConfig
    seen: Seen | None = None
    skipped: dict[int, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the views, or what `seen` says in their place."""
        return (self.seen or self.reading.crop).image_shape

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Names of the images that were skipped so far, and why."""
        return {
            self.files.name(self.indices[place]): self.skipped[place]
            for place in sorted(self.skipped)
        }

    def take(self, places: np.ndarray) -> "ImageFileDataset":
        """Returns the images at `places`, in that order."""
        indices, labels = self.indices[places], self.labels[places]
        return dataclasses.replace(self, indices=indices, labels=labels, skipped={})

    def fingerprints(self) -> Iterator[bytes]:
        """Yields the name of each image's file."""
        return (
            f"{self.files.key(int(index))}\0".encode(errors="surrogateescape")
            for index in self.indices
        )

    def tested_on(self, seen: Seen) -> "ImageFileDataset":
        """Returns the same images, of which a test sees something else."""
        return dataclasses.replace(self, seen=seen, skipped={})

    def sizes(self, on_progress: ProgressFn) -> list[tuple[int, int] | None]:
        """Returns the width and height of each, from its header; None where that cannot be read.

        Args:
          on_progress: called with a text, the headers read so far and their number.

        Raises:
          UserError: one cannot be read, and it is an error.
        """
        found: list[tuple[int, int] | None] = []
        for size in self._mapped(range(len(self)), self._size, 0):
            found.append(size or None)
            on_progress("headers of images", len(found), len(self))
        return found

    def views(
        self, groups: Sequence[np.ndarray], epoch: tuple[int, int] | None
    ) -> Iterator[tuple[jax.Array, np.ndarray]]:
        """Yields the views of each group of places, decoded by threads while others are used.

        What is seen of an image depends on the seed, the epoch and its place alone.

        Args:
          groups: int [N] each, the last not longer.
          epoch: seed and number of a training epoch; None for the views of a test.

        Yields:
          uint8 [N, *image_shape], on the device; and bool [N], False for images that could not be
          read, in whose place another of the group stands, so that batch normalization sees
          photographs only.

        Raises:
          UserError: an image cannot be read, and it is an error.
        """
        if not groups:
            return
        device, count = jax.local_devices()[0], self._pieces(len(groups[0]))
        splits = [np.array_split(np.arange(len(group)), count) for group in groups]
        pieces = [(group, rows) for group, split in enumerate(splits) for rows in split]
        gathered = _Gathered(self.image_shape)

        def decoded(piece: tuple[int, np.ndarray]) -> int:
            group, rows = piece
            views = gathered.of(group, len(groups[group]))
            for row in rows:
                self._view(int(groups[group][row]), epoch, views, row)
            return group

        def transferred(pieces: Sequence[int]) -> tuple[jax.Array, np.ndarray]:
            images, readable = gathered.taken(pieces[0])
            if not readable.all():
                images[~readable] = images[readable.argmax()]
            return jax.device_put(images, device), readable

        views = self._mapped(pieces, decoded, count)
        batches = views.batch(count, batch_fn=transferred)
        ahead = iter(grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=1))
        close = ahead.close
        try:
            yield from ahead
        except (Exception, KeyboardInterrupt):  # or one from a signal; do not wait for a reader
            close = threading.Thread(target=ahead.close, daemon=True).start
            raise
        finally:
            close()

    def _pieces(self, size: int) -> int:
        """Returns in how many pieces a group of that size is decoded, at least one a thread."""
        return min(size, max(self._threads, -(-size // _TOGETHER)))

    def _view(self, place: int, epoch: tuple[int, int] | None, views: _Views, row: int) -> None:
        """Puts the view of an image into a row, and whether it could be read."""
        crop, shape = self.reading.crop, self.image_shape
        seen = self.seen or crop.middle

        def choose(width: int, height: int) -> Sequence[CropBox]:
            if epoch is None:
                return seen.parts(width, height)
            random = np.random.default_rng((*epoch, place, _STREAM))
            return [crop.training(width, height, random)]

        try:
            content = self.files.read(int(self.indices[place]))
            parts = decode_parts(content, choose, shape[-3:], self.reading.max_pixels)
            for into, part in zip(views.images[row].reshape(-1, *shape[-3:]), parts, strict=True):
                into[...] = part
        except (DecodingError, OSError) as error:
            self._skip(place, error)
            views.images[row] = 0
        else:
            views.readable[row] = True

    def _size(self, place: int) -> tuple[int, int] | tuple[()]:
        """Returns the width and height of an image; nothing where it cannot be read."""
        try:
            with self.files.open(int(self.indices[place])) as content:
                return read_header(content, self.reading.max_pixels)
        except (DecodingError, OSError) as error:
            self._skip(place, error)
        return ()  # grain would leave None out

    def _skip(self, place: int, error: Exception) -> None:
        options, reason = self.reading.options, _reason(error)
        if isinstance(error, TooManyPixelsError):
            reason += f"; {options.max_pixels}N allows more"
        if self.reading.on_error == "stop":
            name = self.files.name(int(self.indices[place]))
            raise UserError(
                f"image {name!r} cannot be read ({reason}); mend it or take it out, or "
                f"give {options.on_error}skip to leave such images out and count them."
            ) from error
        self.skipped[place] = reason

    @property
    def _threads(self) -> int:
        return self.reading.threads or cpu_features.usable_cores()

    def _mapped(
        self, items: Sequence[Any] | np.ndarray, look: Callable[..., Any], ahead: int
    ) -> Any:
        """Returns what a function makes of each item, in order, by threads.

        Args:
          items: the items.
          look: the function.
          ahead: results that are kept ready, and two more for each thread.
        """
        options = grain.ReadOptions(self._threads, prefetch_buffer_size=ahead + 2 * self._threads)
        return grain.MapDataset.source(items).map(look).to_iter_dataset(options)


def _reason(error: Exception) -> str:
    """Returns why, without the name of the file that the system's errors have."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
