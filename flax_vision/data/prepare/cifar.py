"""Reader of the binary archives of CIFAR-10 and CIFAR-100."""

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from flax_vision.data.prepare.archives import damage_as_user_error, read_exactly

_SHAPE = (3, 32, 32)
"""Channels, height and width of an image."""

_PIXELS = 3 * 32 * 32


def cifar_counts(config: Any) -> Mapping[str, int]:
    """Returns the number of images of each split."""
    del config  # these sets have none
    return {"train": 50_000, "test": 10_000}


def cifar_records(
    builder: Any, files: Mapping[str, Path], split: str, count: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the keys and examples of a split, and sets the class names of the builder.

    Args:
      builder: TFDS builder of CIFAR-10 or CIFAR-100.
      files: Path of the archive by its published name.
      split: `"train"` or `"test"`.
      count: Number of images.
    """
    layout = builder._cifar_info
    (path,) = files.values()
    with damage_as_user_error(path), tarfile.open(path) as archive:
        for label, name in zip(layout.label_keys, layout.label_files, strict=True):
            lines = _open_member(archive, layout.prefix + name).read().decode().split("\n")
            builder.info.features[label].names = [line for line in lines if line]
        members = layout.train_files if split == "train" else layout.test_files
        rows = _rows(archive, [layout.prefix + name for name in members], len(layout.label_keys))
        found = 0
        for key, (labels, pixels) in enumerate(rows):
            classes = dict(zip(layout.label_keys, labels, strict=True))
            _check_labels(builder, classes)
            yield key, {"id": f"{split}_{key:05d}", "image": pixels, **classes}
            found += 1
        if found != count:
            raise ValueError(f"it has {found:,} {split} images, not {count:,}")


def _rows(
    archive: tarfile.TarFile, members: list[str], num_labels: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yields the labels of each image and its pixels, uint8 [32, 32, 3]."""
    for member in members:
        with _open_member(archive, member) as stream:
            while first := stream.read(1):
                rest = read_exactly(stream, num_labels - 1 + _PIXELS)
                row = np.frombuffer(first + rest, np.uint8)
                pixels = row[num_labels:].reshape(_SHAPE).transpose(1, 2, 0)
                yield row[:num_labels].tolist(), pixels


def _open_member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    stream = archive.extractfile(name)
    if stream is None:
        raise ValueError(f"{name} is no file")
    return stream


def _check_labels(builder: Any, labels: Mapping[str, int]) -> None:
    for name, label in labels.items():
        num_classes = builder.info.features[name].num_classes
        if label >= num_classes:
            raise ValueError(f"it has a {name} {label}, but the set has {num_classes} classes")
