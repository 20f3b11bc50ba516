"""Search for image files with the same content in two splits."""

import hashlib
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.file_list import FileList
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.text import counted, listed

_MAX_SECONDS = 20
"""Time limit of the search, for millions of files of equal sizes and for slow disks."""

_CHUNK = 1000
"""Files that are given to the threads at once."""

_BLOCK = 4096
"""Bytes in the middle of a file that are compared before its whole content."""

_THREADS = 8
"""Files that are read at once; a disk answers several requests faster than one."""

_MAX_NAMED = 3
"""Number of pairs that a message names."""


class _File(NamedTuple):
    """An image file.

    Attributes:
      path: Path of the file.
      split: Split of the image.
      size: Number of bytes.
    """

    path: Path
    split: str
    size: int


def duplicates_warning(splits: Mapping[str, Dataset], folder: str, on_progress: ProgressFn) -> str:
    """Returns a sentence about images that are in two splits; empty for none.

    Files of one size are compared by a block in their middle, and then by their SHA-256. Rare sizes
    come first, and the search ends after 20 seconds.

    Args:
      splits: Images of a folder, by split.
      folder: Path of the folder, from which messages name files.
      on_progress: Function that gets a text, the compared files and the total.
    """
    groups = _across_splits([_files(splits)], lambda files: [file.size for file in files])
    deadline = time.monotonic() + _MAX_SECONDS

    def digests(digest: Callable[[_File], str], files: Sequence[_File]) -> Iterator[str]:
        def until_deadline(file: _File) -> str:
            return digest(file) if time.monotonic() < deadline else ""

        for start in range(0, len(files), _CHUNK):  # a million tasks at once need gigabytes
            chunk = files[start : start + _CHUNK]
            for done, text in enumerate(pool.map(until_deadline, chunk), start + 1):
                on_progress("files of equal size", done, len(files))
                yield text

    with ThreadPoolExecutor(_THREADS) as pool:
        for digest in (_block_digest, _whole_digest):
            groups.sort(key=len)
            groups = _across_splits(groups, partial(digests, digest))
    return _describe(groups, folder, time.monotonic() >= deadline)


def _files(splits: Mapping[str, Dataset]) -> list[_File]:
    """Returns the regular files of all splits."""
    files = []
    for split, images in splits.items():
        if not isinstance(images, ImageFileDataset) or not isinstance(images.files, FileList):
            continue
        for index in images.indices.tolist():
            path = images.files.paths[index]
            try:
                status = os.stat(path)
            except OSError:
                continue  # decoding reports it
            if stat.S_ISREG(status.st_mode):
                files.append(_File(path, split, status.st_size))
    return files


def _across_splits(
    groups: Iterable[Sequence[_File]], keys: Callable[[Sequence[_File]], Iterable[int | str]]
) -> list[list[_File]]:
    """Divides groups of files by a key, and returns those with files of several splits.

    Args:
      groups: Groups of files.
      keys: Function that returns the key of each file. Files with an empty key are left out.
    """
    numbers = [number for number, group in enumerate(groups) for _ in group]
    files = [file for group in groups for file in group]
    divided = defaultdict(list)
    for number, file, key in zip(numbers, files, keys(files), strict=True):
        if key:
            divided[number, key].append(file)
    return [group for group in divided.values() if len({file.split for file in group}) > 1]


def _block_digest(file: _File) -> str:
    """Returns the SHA-256 of the middle of a file; empty if it cannot be read."""
    try:
        with file.path.open("rb", buffering=0) as content:
            content.seek(max(0, (file.size - _BLOCK) // 2))
            return hashlib.sha256(content.read(_BLOCK)).hexdigest()
    except OSError:
        return ""


def _whole_digest(file: _File) -> str:
    """Returns the SHA-256 of a file; empty if it cannot be read."""
    try:
        with file.path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""


def _describe(groups: Sequence[Sequence[_File]], folder: str, is_partial: bool) -> str:
    """Returns a sentence about groups of equal files; empty for no groups."""
    if not groups:
        return ""
    pairs = sorted(_pair(group, folder) for group in groups)
    count = f"{'at least ' * is_partial}{counted(len(groups), 'image')}"
    return (
        f"{count} of one split {'is' if len(groups) == 1 else 'are'} in another split too, with "
        f"the same content: {listed(pairs, _MAX_NAMED, '; ')}. Results on them are too good; leave "
        "each image in one split"
    )


def _pair(group: Sequence[_File], folder: str) -> str:
    """Returns the names of two files in different splits."""
    first = group[0]
    second = next(file for file in group if file.split != first.split)
    names = [
        f"{file.path.relative_to(folder).as_posix()!r} ({file.split})" for file in (first, second)
    ]
    return " and ".join(names)
