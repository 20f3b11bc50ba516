"""Reader of the archives of Imagenette, ten classes of ImageNet."""

import contextlib
import gzip
import posixpath
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from flax_vision.data.dataset import ProgressFn
from flax_vision.data.prepare.archives import damage_as_user_error
from flax_vision.data.prepare.image_index import ImageIndex, tar_members

_FOLDERS = {"train": "train", "validation": "val"}

_CHUNK = 1 << 20
"""Bytes per read of the compressed archive."""


def imagenette_counts(config: Any) -> Mapping[str, int]:
    """Returns the number of images of each split."""
    if config.name.endswith("-v2"):
        return {"train": 9469, "validation": 3925}
    return {"train": 12_894, "validation": 500}


def imagenette_archive(config: Any) -> str:
    """Returns the published name of the archive of a configuration."""
    return f"{config.dirname}.tgz"


@contextlib.contextmanager
def imagenette_stores(
    builder: Any,
    files: Mapping[str, Path],
    counts: Mapping[str, int],
    scratch: Path,
    on_progress: ProgressFn,
) -> Iterator[Mapping[str, ImageIndex]]:
    """Unpacks the archive into a temporary file, and yields the indices of the splits.

    Args:
      builder: TFDS builder of a configuration.
      files: Path of the archive by its published name.
      counts: Number of images by split.
      scratch: Directory for the temporary file.
      on_progress: Function that gets a text, the images unpacked (an estimate) and the total.

    Raises:
      UserError: The archive is truncated, or is another file.
      OSError: The disk is full.
    """
    (path,) = files.values()
    with tempfile.TemporaryFile(dir=scratch) as file:
        total = sum(counts.values())

        def show(fraction: float) -> None:
            on_progress(f"unpacking {path.name}", int(total * fraction), total)

        _unpack(path, file, show)
        indices = {split: ImageIndex(path, file, split, has_names=False) for split in counts}
        with damage_as_user_error(path):
            _fill(indices, file, builder)
            for split, count in counts.items():
                indices[split].check(count)
        yield indices


def _unpack(path: Path, file: IO[bytes], show: Callable[[float], None]) -> None:
    """Decompresses an archive; a full disk does not count as a damaged archive."""
    size = path.stat().st_size
    with path.open("rb") as packed, gzip.open(packed) as stream:
        while chunk := _read(path, stream):
            file.write(chunk)
            show(packed.tell() / size)
    file.flush()


def _read(path: Path, stream: gzip.GzipFile) -> bytes:
    with damage_as_user_error(path):
        return stream.read(_CHUNK)


def _fill(indices: Mapping[str, ImageIndex], file: IO[bytes], builder: Any) -> None:
    """Adds the images; their folders name the split and the class."""
    root = builder.builder_config.dirname
    folders = {f"{root}/{folder}": split for split, folder in _FOLDERS.items()}
    to_label = builder.info.features["label"].str2int
    for member in tar_members(file):
        folder, name = posixpath.split(member.name)
        split = folders.get(posixpath.dirname(folder), "")
        if split and name.endswith(".JPEG"):
            indices[split].add(name, member, to_label(posixpath.basename(folder)))
