"""Index of the images in an uncompressed tar; they are read from the tar itself."""

import os
import posixpath
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from flax_vision.data.prepare.archives import damage_as_user_error
from flax_vision.data.prepare.record_store import KeyHashes
from flax_vision.data.prepare.tf_example import example_sizes, serialize_example, varint_sizes


def tar_members(file: IO[bytes], start: int = 0) -> Iterator[tarfile.TarInfo]:
    """Yields the members of a tar that are not directories, from their headers alone.

    Args:
      file: File with the tar; it may be moved between two members.
      start: Offset of the tar in the file. `offset_data` of the members counts from byte 0.

    Raises:
      tarfile.TarError: The tar is truncated, or the file is not a tar.
      ValueError: A member is not a regular file.
    """
    file.seek(start)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while member := archive.next():
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
            if not (member.isreg() or member.isdir()):
                raise ValueError(f"{member.name} is not a regular file")
            if not member.isdir():
                member.name = posixpath.normpath(member.name)
                yield member


class ImageIndex:
    """Records of a split, with images from a tar; a `RecordStore`.

    Args:
      path: Path of the tar, for messages.
      file: The open tar.
      split: Name of the split.
      has_names: Whether the records have the feature `file_name`.
    """

    def __init__(self, path: Path, file: IO[bytes], split: str, has_names: bool) -> None:
        self._path = path
        self._file = file
        self._split = split
        self._has_names = has_names
        self._hashes = KeyHashes(split)
        self._names: list[bytes] = []
        self._offsets = array("q")
        self._lengths = array("q")
        self._labels = array("i")
        self._replaced: dict[int, bytes] = {}
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._names)

    def add(self, key: str, member: tarfile.TarInfo, label: int) -> None:
        """Appends an image.

        Args:
          key: Key that decides the order; also the `file_name` of the record.
          member: Header of the image in the tar.
          label: Class; -1 without one.
        """
        self._hashes.add(key)
        self._names.append(key.encode())
        self._offsets.append(member.offset_data)
        self._lengths.append(member.size)
        self._labels.append(label)

    def replace_last(self, content: bytes) -> None:
        """Replaces the content of the image that was appended last."""
        self._replaced[len(self) - 1] = content
        self._lengths[-1] = len(content)

    def check(self, count: int) -> None:
        """Raises a ValueError for a wrong number of images, or for two equal keys."""
        if len(self) != count:
            raise ValueError(f"it has {len(self):,} {self._split} images, not {count:,}")
        _ = self.order  # raises for two keys that are equal

    @property
    def labels(self) -> np.ndarray:
        """Labels, int32 [N]."""
        return np.array(self._labels, np.int32)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Bytes of the records, int64 [N]."""
        lengths = {"image": np.array(self._lengths), "label": varint_sizes(self.labels)}
        if self._has_names:
            lengths["file_name"] = np.fromiter(map(len, self._names), np.int64)
        return example_sizes(lengths)

    @cached_property
    def order(self) -> np.ndarray:
        """Indices of the records in TFDS's order, int64 [N]."""
        return self._hashes.order()

    def read(self, index: int) -> bytes:
        """Returns a record.

        Raises:
          UserError: The archive is damaged.
        """
        values: dict[str, Any] = {"image": self._image(index), "label": self._labels[index]}
        if self._has_names:
            values["file_name"] = self._names[index]
        return serialize_example(values)

    def prefetch(self, indices: Sequence[int]) -> None:
        """Asks the system to read images ahead, in the order of the disk."""
        if hasattr(os, "posix_fadvise"):  # Linux
            advice = os.POSIX_FADV_WILLNEED
            for index in sorted(indices, key=self._offsets.__getitem__):
                start, length = self._offsets[index], self._lengths[index]
                os.posix_fadvise(self._file.fileno(), start, length, advice)

    def _image(self, index: int) -> bytes | memoryview:
        """Returns an encoded image, valid until the next one is read.

        All images share one buffer: allocating memory for each takes four times as long.
        """
        if (replaced := self._replaced.get(index)) is not None:
            return replaced
        start, length = self._offsets[index], self._lengths[index]
        if len(self._buffer) < length:
            self._buffer = bytearray(length)
        content = memoryview(self._buffer)[:length]
        with damage_as_user_error(self._path):
            if os.preadv(self._file.fileno(), [content], start) < length:
                raise EOFError(f"{self._names[index].decode()} is truncated")
        return content
