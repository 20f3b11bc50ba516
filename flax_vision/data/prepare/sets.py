"""The datasets that `flax-vision prepare` knows, and the command for each."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from flax_vision.data.prepare import cifar, idx

Records = Iterator[tuple[int, dict[str, Any]]]
"""Keys, which decide the order, and examples, with images as encoded bytes or as uint8 arrays."""


@dataclass(frozen=True)
class SetFormat:
    """Format of a published set.

    Attributes:
      counts: Function that gets a TFDS configuration or None, and returns the number of images by
        split.
      records: Function that gets a TFDS builder, the files by published name, a split and its
        number of images, and streams the records.
      record_bytes: Average size of a record, rounded up.
    """

    counts: Callable[[Any], Mapping[str, int]]
    records: Callable[[Any, Mapping[str, Path], str, int], Records]
    record_bytes: int


_MNIST = SetFormat(idx.mnist_counts, idx.mnist_records, 600)
_CIFAR = SetFormat(cifar.cifar_counts, cifar.cifar_records, 2500)

SETS: dict[str, SetFormat] = {
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "emnist": SetFormat(idx.emnist_counts, idx.emnist_records, 600),
    "fashion_mnist": _MNIST,
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
    words += [f"--tfds-dir={directory}"] if directory else []
    words += ["--overwrite"] if Path(builder.data_path).exists() else []
    return shlex.join(words)
