"""The datasets that `flax-vision prepare` knows, and the command for each."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.prepare import cifar, idx, imagenet, imagenette
from flax_vision.data.prepare.record_store import RecordStore
from flax_vision.data.prepare.spooling import RecordsFn, spooled_stores

StoresFn = Callable[
    [Any, Mapping[str, Path], Mapping[str, int], Path, ProgressFn],
    AbstractContextManager[Mapping[str, RecordStore]],
]
"""Function that opens the records of each split.

It gets a TFDS builder, the files by published name, the number of images by split, a directory for
temporary files, and a function for progress.
"""


@dataclass(frozen=True)
class SetFormat:
    """Format of a published set.

    Attributes:
      counts: Function that gets a TFDS configuration or None, and returns the number of images by
        split.
      stores: Function that opens the records of each split.
      disk_bytes: Function from the bytes of the archives and the number of images to the bytes
        needed for the set and for temporary files.
      archive: Function from a TFDS configuration to the name of its archive; None if each
        configuration needs all files.
      manual_url: Page where users download the files by hand; empty for a public server.
      optional_files: Names of files that may be missing.
    """

    counts: Callable[[Any], Mapping[str, int]]
    stores: StoresFn
    disk_bytes: Callable[[int, int], int]
    archive: Callable[[Any], str] | None = None
    manual_url: str = ""
    optional_files: Sequence[str] = ()


def _streamed(
    counts: Callable[[Any], Mapping[str, int]], records: RecordsFn, record_bytes: int
) -> SetFormat:
    """Returns the format of a small set, which needs twice its size on the disk."""
    stores = partial(spooled_stores, records)
    return SetFormat(counts, stores, lambda _, images: 2 * record_bytes * images)


_MNIST = _streamed(idx.mnist_counts, idx.mnist_records, 600)
_CIFAR = _streamed(cifar.cifar_counts, cifar.cifar_records, 2500)

SETS: dict[str, SetFormat] = {
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "emnist": _streamed(idx.emnist_counts, idx.emnist_records, 600),
    "fashion_mnist": _MNIST,
    "imagenet2012": SetFormat(
        imagenet.imagenet_counts,
        imagenet.imagenet_stores,
        # A record has less overhead than a member of the tar.
        lambda archives, _: archives,
        manual_url="https://image-net.org/download-images",
        optional_files=imagenet.TEST_ARCHIVES,
    ),
    "imagenette": SetFormat(
        imagenette.imagenette_counts,
        imagenette.imagenette_stores,
        # The unpacked archive and the set; compression saves a few percent of JPEG files.
        lambda archives, _: int(2.2 * archives),
        archive=imagenette.imagenette_archive,
    ),
    "kmnist": _MNIST,
    "mnist": _MNIST,
}
"""Formats by the name that TFDS gives the set."""


def valid_names() -> list[str]:
    """Returns the names of all sets, and of their configurations such as `emnist/letters`."""
    configs = {name: tfds.builder_cls(name).builder_configs for name in SETS}
    return [*SETS, *(f"{name}/{config}" for name in SETS for config in configs[name])]


def preparation_command(builder: Any, directory: str) -> str:
    """Returns the command that prepares a set.

    Args:
      builder: TFDS builder of the set.
      directory: Directory of prepared sets; empty for TFDS's default.

    Returns:
      The command, or an empty text for a set or a version that we cannot prepare.
    """
    if builder.name not in SETS or builder.version != builder.canonical_version:
        return ""
    config = builder.builder_config
    name = f"{builder.name}/{config.name}" if config else builder.name
    words = ["flax-vision", "prepare", name]
    words += ["--source=DIR"] if SETS[builder.name].manual_url else []
    words += [f"--tfds-dir={directory}"] if directory else []
    words += ["--overwrite"] if Path(builder.data_path).exists() else []
    return shlex.join(words)
