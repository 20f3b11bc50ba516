"""Records of a split that TensorFlow Datasets (TFDS) has prepared, and their labels."""

import contextlib
import hashlib
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from flax_vision.data.dataset import ArrayDataset, ProgressFn
from flax_vision.data.label_index import read_labels
from flax_vision.data.lazy_labels import LazyLabels
from flax_vision.runtime.files import replaced_file
from flax_vision.runtime.user_cache import cache_dir

_CHUNK = 1000
"""Records per read; ArrayRecord is slow one by one."""

_MAX_SCANNED_BYTES, _MAX_SCANNED_RECORDS = 10**10, 10**6
"""Largest split of a set whose labels are read before the first step, in a minute or two."""

_UNREAD, _UNREADABLE = -2, -1
"""Labels of records that were not read, and of damaged records."""


class TfdsRecords:
    """The records of a split, by index."""

    def __init__(self, builder: Any, split: str) -> None:
        # TFDS would decode one image at a time and ask for OpenCV; direct calls of Pillow are
        # faster.
        decoders = {"image": tfds.decode.SkipDecoding()}
        self._source = builder.as_data_source(split=split, decoders=decoders)
        self._title = f"{builder.name} {split}"
        self._info = Path(builder.data_path, "dataset_info.json")
        self._split = split
        self._labels = np.full(len(self._source), _UNREAD, np.int32)
        self.is_of_large_set = is_large(builder)
        self.image_shape = builder.info.features["image"].shape
        self.class_names = builder.info.features["label"].names

    def __len__(self) -> int:
        return len(self._source)

    def open(self, index: int) -> IO[bytes]:
        """Returns an encoded image, read as a whole."""
        try:
            record = self._source[index]
            self._labels[index] = record["label"]
            return io.BytesIO(record["image"])
        except (RuntimeError, ValueError) as error:  # ArrayRecord and TFDS
            self._labels[index] = _UNREADABLE
            raise OSError(f"the record is damaged: {first_line(error)}") from error

    def label(self, index: int) -> int:
        """Returns the class of an image."""
        return int(self._source[index]["label"])

    def labels(self, indices: np.ndarray, on_progress: ProgressFn) -> np.ndarray:
        """Returns the classes of images, int32 [...]; reads records that were not read yet.

        Args:
          indices: int [...], numbers of the records.
          on_progress: Function that gets a text, the records read and the total.

        Returns:
          The classes; -1 for damaged records.
        """
        missing = np.unique(indices[self._labels[indices] == _UNREAD])
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK].tolist()
            try:
                read = [record["label"] for record in self._source.__getitems__(chunk)]
                self._labels[chunk] = read
            except (RuntimeError, ValueError):
                for index in chunk:  # finds the damaged one
                    with contextlib.suppress(OSError):
                        self.open(index)
            on_progress(f"labels of {self._title}", start + len(chunk), len(missing))
        return self._labels[indices]

    def name(self, index: int) -> str:
        """Returns the name of a record for messages."""
        return f"{self._title}, record {index}"

    def key(self, index: int) -> str:
        """Returns the number of a record."""
        return str(index)

    @property
    def indexed_labels(self) -> np.ndarray | None:
        """Labels from the index beside the records, int32 [N]; None without an index."""
        return read_labels(self._info.parent, self._split, len(self))

    @property
    def identity(self) -> str:
        """Location and date of the prepared split."""
        modified = self._info.stat().st_mtime_ns
        return f"{self._info.resolve()} {modified} {self._split} {len(self)}"

    def enumerate(self, on_progress: ProgressFn) -> Iterator[tuple[int, Any]]:
        """Yields all records with their indices."""
        for start in range(0, len(self), _CHUNK):
            indices = range(start, min(start + _CHUNK, len(self)))
            yield from zip(indices, self._source.__getitems__(list(indices)), strict=True)
            on_progress(self._title, indices[-1] + 1, len(self))


def read_all(records: TfdsRecords, on_progress: ProgressFn) -> ArrayDataset:
    """Reads images of one size into memory."""
    images = np.empty((len(records), *records.image_shape), np.uint8)
    labels = np.empty(len(records), np.int32)
    for index, record in records.enumerate(on_progress):
        pixels = np.asarray(Image.open(io.BytesIO(record["image"])))
        images[index] = pixels.reshape(images.shape[1:])
        labels[index] = record["label"]
    return ArrayDataset(images, labels, records.class_names)


def is_large(builder: Any) -> bool:
    """Returns whether reading all records of a set takes more than a minute or two."""
    return any(
        split.num_bytes > _MAX_SCANNED_BYTES or split.num_examples > _MAX_SCANNED_RECORDS
        for split in builder.info.splits.values()
    )


def split_labels(records: TfdsRecords, stratify: str, on_progress: ProgressFn) -> Any:
    """Returns the labels of a split, int32 [N]; `LazyLabels` in place of a long pass.

    Args:
      records: Records of the split.
      stratify: `"always"` to read all records if nothing else has the labels, `"never"` for
        `LazyLabels` of any set, or `"auto"`.
      on_progress: Function that gets a text, the records read and the total.
    """
    known = known_labels(records) if stratify != "never" else None
    if known is not None:
        return known
    if stratify == "never" or (stratify == "auto" and records.is_of_large_set):
        return LazyLabels(partial(records.labels, on_progress=on_progress), np.arange(len(records)))
    return _scan_labels(records, on_progress)


def known_labels(records: TfdsRecords) -> np.ndarray | None:
    """Returns the labels from the set's index or the user's cache, int32 [N]; None for neither."""
    if (labels := records.indexed_labels) is not None:
        return labels
    if file := _cache_file(records):
        with contextlib.suppress(OSError, ValueError, EOFError):  # missing or damaged
            cached: np.ndarray = np.load(file)
            if cached.shape == (len(records),):
                return cached
    return None


def _scan_labels(records: TfdsRecords, on_progress: ProgressFn) -> np.ndarray:
    """Reads the labels of all records, int32 [N], into the user's cache."""
    labels = np.empty(len(records), np.int32)
    for index, record in records.enumerate(on_progress):
        labels[index] = record["label"]
    if file := _cache_file(records):
        with (
            contextlib.suppress(OSError),  # without a cache the labels are read again
            replaced_file(file) as unfinished,
            unfinished.open("wb") as content,
        ):
            np.save(content, labels)
    return labels


def _cache_file(records: TfdsRecords) -> Path | None:
    """Returns the file of a prepared split's labels in the cache; None without a cache."""
    digest = hashlib.sha256(records.identity.encode()).hexdigest()
    directory = cache_dir()
    return directory and directory / f"labels-{digest[:16]}.npy"


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or the name of its class."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
