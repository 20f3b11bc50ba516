"""Reader of MNIST's idx files, and of the sets in the same format."""

import contextlib
import gzip
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flax_vision.data.prepare.archives import (
    Stream,
    damage_as_user_error,
    open_decompressed,
    read_exactly,
)

_SIZE = (28, 28)
"""Height and width of the images."""

_CHUNK = 1000
"""Images per read."""

_UINT8 = 8
"""Code of the element type in the header."""


def mnist_counts(config: Any) -> Mapping[str, int]:
    """Returns the number of images of each split."""
    del config  # these sets have none
    return {"train": 60_000, "test": 10_000}


def emnist_counts(config: Any) -> Mapping[str, int]:
    """Returns the number of images of each split of an EMNIST configuration."""
    return {"train": config.train_examples, "test": config.test_examples}


def mnist_records(
    builder: Any, files: Mapping[str, Path], split: str, count: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the keys and examples of MNIST, Fashion-MNIST or KMNIST.

    Args:
      builder: TFDS builder of the set.
      files: Paths of the files by their published names.
      split: `"train"` or `"test"`.
      count: Number of images.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    images, labels = (files[f"{prefix}-{kind}-ubyte.gz"] for kind in ("images-idx3", "labels-idx1"))
    with damage_as_user_error(labels), open_decompressed(labels) as label_stream:
        known = read_labels(label_stream, count, _num_classes(builder))
    with damage_as_user_error(images), open_decompressed(images) as image_stream:
        for key, pixels in enumerate(read_images(image_stream, count)):
            yield key, {"image": pixels, "label": int(known[key])}


def emnist_records(
    builder: Any, files: Mapping[str, Path], split: str, count: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the keys and examples of EMNIST, whose images are transposed as in TFDS.

    Args:
      builder: TFDS builder of a configuration.
      files: Path of the archive by its published name.
      split: `"train"` or `"test"`.
      count: Number of images. As in TFDS, `letters` has only the first images of its files.
    """
    (path,) = files.values()
    name = f"gzip/emnist-{builder.builder_config.name}-{split}"
    with damage_as_user_error(path), zipfile.ZipFile(path) as archive:
        with _open_member(archive, f"{name}-labels-idx1-ubyte.gz") as label_stream:
            known = read_labels(label_stream, count, _num_classes(builder))
        with _open_member(archive, f"{name}-images-idx3-ubyte.gz") as image_stream:
            for key, pixels in enumerate(read_images(image_stream, count)):
                yield key, {"image": pixels, "label": int(known[key])}


def read_images(stream: Stream, count: int) -> Iterator[np.ndarray]:
    """Yields the first images of an idx file.

    Args:
      stream: Decompressed file.
      count: Number of images.

    Yields:
      Images, uint8 [28, 28].

    Raises:
      ValueError: The header is of another file.
      EOFError: The file is truncated.
    """
    _check_header(stream, (count, *_SIZE))
    for start in range(0, count, _CHUNK):
        images = min(_CHUNK, count - start)
        content = read_exactly(stream, images * _SIZE[0] * _SIZE[1])
        yield from np.frombuffer(content, np.uint8).reshape(images, *_SIZE)


def read_labels(stream: Stream, count: int, num_classes: int) -> np.ndarray:
    """Returns the first labels of an idx file, uint8 [N].

    Args:
      stream: Decompressed file.
      count: Number of labels.
      num_classes: Number of classes.

    Raises:
      ValueError: The header is of another file, or a label is not below the number of classes.
      EOFError: The file is truncated.
    """
    _check_header(stream, (count,))
    labels = np.frombuffer(read_exactly(stream, count), np.uint8)
    if labels.max() >= num_classes:
        raise ValueError(f"it has a label {labels.max()}, but the set has {num_classes} classes")
    return labels


def _check_header(stream: Stream, shape: tuple[int, ...]) -> None:
    """Raises a ValueError unless the array has at least the records of a shape."""
    magic = read_exactly(stream, 4)
    if magic != bytes([0, 0, _UINT8, len(shape)]):
        raise ValueError(f"it begins with {magic.hex()}, which is no idx file of {len(shape)} axes")
    found = struct.unpack(f">{len(shape)}I", read_exactly(stream, 4 * len(shape)))
    if found[1:] != shape[1:] or found[0] < shape[0]:
        raise ValueError(f"its array has the shape {list(found)}, not {list(shape)}")


@contextlib.contextmanager
def _open_member(archive: zipfile.ZipFile, name: str) -> Iterator[Stream]:
    with archive.open(name) as compressed, gzip.open(compressed) as stream:
        yield stream


def _num_classes(builder: Any) -> int:
    return builder.info.features["label"].num_classes
