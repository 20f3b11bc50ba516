"""Image files: their extensions, their order and their content."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flax_vision.data.decode import FORMATS, TooManyPixelsError
from flax_vision.data.flags import MAX_PIXELS
from flax_vision.runtime.files import open_regular
from flax_vision.text import counted, listed, nfc

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", *((".avif",) if "AVIF" in FORMATS else ())),
)
"""Extensions of image files, in any case."""

_BYTES_PER_PIXEL, _METADATA_BYTES = 8, 2**24
"""Permitted bytes of a file: red, green, blue and opacity of 16 bits each, and metadata."""

_MAX_NAMED = 4
"""Number of extensions that a message names."""


@dataclass(frozen=True)
class PathList(Sequence[Path]):
    """Paths stored as texts, which take a fifth of the memory of `Path` objects.

    Attributes:
      texts: Texts of the paths.
    """

    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: Any) -> Any:
        found = self.texts[index]
        return PathList(found) if isinstance(index, slice) else Path(found)


@dataclass(frozen=True)
class FileList:
    """Image files by index.

    Attributes:
      paths: Paths of the files.
      max_pixels: Bound on the pixels of an image, and thus on the bytes of a file.
      root: Folder to which keys are relative; None for the folder of each file.
    """

    paths: Sequence[Path]
    max_pixels: int = MAX_PIXELS
    root: Path | None = None

    def open(self, index: int) -> IO[bytes]:
        """Opens a file for reading.

        Raises:
          OSError: It cannot be opened, or is not a regular file.
          TooManyPixelsError: It has more bytes than an image of `max_pixels` needs.
        """
        file = open_regular(self.paths[index])
        size = os.fstat(file.fileno()).st_size
        if size > _BYTES_PER_PIXEL * self.max_pixels + _METADATA_BYTES:
            file.close()
            raise TooManyPixelsError(
                f"it has {size:,} bytes, too many for an image of {self.max_pixels:,} pixels"
            )
        return file

    def name(self, index: int) -> str:
        """Returns the path of a file."""
        return str(self.paths[index])

    def key(self, index: int) -> str:
        """Returns the name of a file relative to its folder, identical on every system."""
        path = self.paths[index]
        return nfc(path.relative_to(self.root).as_posix() if self.root else path.name)


def is_image(path: Path) -> bool:
    """Returns whether a path has the extension of an image."""
    return has_image_extension(path.name)


def has_image_extension(name: str) -> bool:
    """Returns whether the name of a file has the extension of an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def skipped_files(files: Collection[Path]) -> str:
    """Returns a sentence about files without an image extension; empty for none."""
    if not files:
        return ""
    extensions = Counter(file.suffix.lower() or "none" for file in files)
    counts = [f"{extension} {count:,}" for extension, count in extensions.most_common()]
    return (
        f"skipped {counted(len(files), 'file')} without an image extension "
        f"({listed(counts, _MAX_NAMED)}), such as {str(min(files))!r}"
    )


def natural(names: Iterable[str]) -> list[str]:
    """Returns names in natural order: 9 before 10."""

    def key(name: str) -> tuple[list[int | str], str]:
        pieces = re.split(r"(\d+)", nfc(name))
        return [int(x) if i % 2 else x.casefold() for i, x in enumerate(pieces)], name

    return sorted(names, key=key)
