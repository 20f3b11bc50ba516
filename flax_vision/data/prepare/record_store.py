"""Records of a split on disk, and their order in TFDS."""

import os
from array import array
from collections.abc import Iterator, Sequence
from typing import IO, Any, Protocol

import numpy as np
from tensorflow_datasets.core import hashing

from flax_vision.data.prepare.png import encode_png
from flax_vision.data.prepare.tf_example import serialize_example

Records = Iterator[tuple[int, dict[str, Any]]]
"""Keys that decide the order, and examples with images as encoded bytes or as uint8 arrays."""


class RecordStore(Protocol):
    """Records of a split, indexed in the order of the archive.

    Attributes:
      labels: Labels, int32 [N].
      sizes: Bytes of the records, int64 [N].
      order: Indices of the records in TFDS's order, int64 [N].
    """

    @property
    def labels(self) -> np.ndarray: ...
    @property
    def sizes(self) -> np.ndarray: ...
    @property
    def order(self) -> np.ndarray: ...

    def read(self, index: int) -> bytes:
        """Returns a record."""
        ...

    def prefetch(self, indices: Sequence[int]) -> None:
        """Asks the system to read records ahead."""
        ...


class KeyHashes:
    """Hashes of the records' keys; TFDS orders the records by these.

    Args:
      split: Name of the split, which TFDS hashes with each key.
    """

    def __init__(self, split: str) -> None:
        self._hasher = hashing.Hasher(split)
        self._digests = bytearray()

    def add(self, key: int | str) -> None:
        """Appends the key of the next record."""
        self._digests += self._hasher.hash_key(key).to_bytes(16, "big")

    def order(self) -> np.ndarray:
        """Returns the indices of the records in the order of the hashes, int64 [N].

        Raises:
          ValueError: Two records have the same key.
        """
        digests = np.frombuffer(self._digests, ">u8").reshape(-1, 2)
        order = np.lexsort(digests.T[::-1])
        if (digests[order[1:]] == digests[order[:-1]]).all(axis=1).any():
            raise ValueError("two images have the same name")
        return order


class Spool:
    """Records of a stream, stored in a temporary file.

    Args:
      file: Temporary file for the records.
      split: Name of the split.
    """

    def __init__(self, file: IO[bytes], split: str) -> None:
        self._file = file
        self._hashes = KeyHashes(split)
        self._ends = array("q", [0])
        self._labels = array("i")

    def add(self, key: int | str, label: int, record: bytes) -> None:
        """Appends a record."""
        self._file.write(record)
        self._ends.append(self._ends[-1] + len(record))
        self._labels.append(label)
        self._hashes.add(key)

    @property
    def labels(self) -> np.ndarray:
        """Labels, int32 [N]."""
        return np.array(self._labels, np.int32)

    @property
    def sizes(self) -> np.ndarray:
        """Bytes of the records, int64 [N]."""
        return np.diff(np.array(self._ends, np.int64))

    @property
    def order(self) -> np.ndarray:
        """Indices of the records in TFDS's order, int64 [N]."""
        return self._hashes.order()

    def read(self, index: int) -> bytes:
        """Returns a record."""
        start, end = self._ends[index : index + 2]
        return os.pread(self._file.fileno(), end - start, start)

    def prefetch(self, indices: Sequence[int]) -> None:
        """Does nothing: the records have just been written."""

    def fill(self, features: Any, records: Records) -> Iterator[int]:
        """Appends the records of a stream, and yields their number after each."""
        for done, (key, example) in enumerate(records, 1):
            encoded = encoded_example(features, example)
            self.add(key, encoded["label"], serialize_example(encoded))
            yield done
        self._file.flush()


def encoded_example(features: Any, example: dict[str, Any]) -> dict[str, Any]:
    """Returns the values of an example as TFDS encodes them.

    Args:
      features: TFDS features of the set.
      example: Values; the image is encoded, or uint8 [H, W] or [H, W, 3].
    """
    image = example["image"]
    encoded = image if isinstance(image, bytes) else encode_png(image)  # TFDS would use TensorFlow
    values = features.encode_example({**example, "image": encoded})
    return {name: np.asarray(value, object).item() for name, value in values.items()}
