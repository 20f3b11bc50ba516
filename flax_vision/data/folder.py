"""Photographs in a folder that has a folder for each class."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from flax_vision.counts import counted
from flax_vision.data.image_set import Report
from flax_vision.data.photographs import Photographs
from flax_vision.data.view import Reading
from flax_vision.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""Of the files that are taken for images, in any case."""

ALL = "all"
"""Names what a folder has that is not divided into parts."""

_VALIDATION = ("val", "validation")
_CHECKED = 10_000
"""Files of a part whose headers are looked at before a run: about a second's worth."""


@dataclass(frozen=True)
class Paths:
    """Image files, by their number."""

    paths: Sequence[Path]

    def read(self, index: int) -> bytes:
        """Returns the content of a file."""
        return self.paths[index].read_bytes()

    def open(self, index: int) -> IO[bytes]:
        """Returns a file, open to be read."""
        return self.paths[index].open("rb")

    def name(self, index: int) -> str:
        """Returns the path of a file."""
        return str(self.paths[index])

    def key(self, index: int) -> str:
        """Returns the name of a file in the folder of its class."""
        return self.paths[index].name


def find_folder(
    path: str, reading: Reading, class_names: Sequence[str] = ()
) -> Mapping[str, Callable[[], Photographs]]:
    """Returns what finds the images of each part that a folder has.

    It has either a folder for each class, or folders `train` and, if wanted, `val` or
    `validation`, and `test`, with one for each class in it. Classes and files come in natural
    order (`9.jpg` before `10.jpg`), links are followed, and hidden files, those of other kinds and
    folders inside those of the classes are passed over.

    Args:
      path: of the folder.
      reading: how its photographs are read.
      class_names: in the order in which a network knows them; empty for those of `train`.

    Returns:
      Functions by `"train"`, `"validation"` and `"test"`; or one by `ALL`, where there is no
      folder `train`.

    Raises:
      UserError: there is no such folder, or, as from the functions, it has no classes, one is
        empty, or a part has one that is not known.
    """
    root = Path(path).expanduser()
    if not path or not root.is_dir():
        found = "is not a directory" if root.exists() else "does not exist"
        problem = f"is {path!r}, which {found}" if path else "is not given"
        option = reading.options.path
        raise UserError(
            f"{option.rstrip(' =')} {problem}; give {option}DIR, where DIR has a folder of images "
            "for each class, or train/ and val/ with such folders in them."
        )
    folders = _part_folders(root)
    origin = "the network" if class_names else "train/"
    known = class_names or _class_names(next(iter(folders.values())))
    return {part: partial(_part, folders[part], known, origin, reading) for part in folders}


def _part_folders(root: Path) -> dict[str, Path]:
    """Returns the folders of the parts, that of the training part first."""
    if not (root / "train").is_dir():
        _check_no_parts(root)
        return {ALL: root}
    names = {"train": ("train",), "validation": _VALIDATION, "test": ("test",)}
    found = {
        part: [root / name for name in candidates if (root / name).is_dir()]
        for part, candidates in names.items()
    }
    return {part: folders[0] for part, folders in found.items() if folders}


def _check_no_parts(root: Path) -> None:
    """Raises a UserError where the folders are those of parts, without a training part."""
    found = _folders(root)
    if found and set(found) <= {*_VALIDATION, "test"}:
        raise UserError(
            f"{str(root)!r} has {'/ and '.join(found)}/ and no train/; give it one too, with a "
            "folder of images for each class."
        )


def check_headers(photographs: Photographs, part: str, report: Report) -> None:
    """Looks at the headers of the first 10,000 images of a part.

    Args:
      photographs: the images.
      part: its name.
      report: called with a text, the images looked at so far and their number.

    Raises:
      UserError: one cannot be read and that is an error, or none can.
    """
    first = photographs.take(np.arange(min(len(photographs), _CHECKED)))
    first.sizes(report)
    if len(first) and len(first.skipped) == len(first):
        name, reason = next(iter(first.unreadable.items()))
        what = "training" if part == "train" else part
        raise UserError(
            f"none of the first {counted(len(first), f'{what} image')} can be read, such as "
            f"{name!r} ({reason}); mend them or give others."
        )


def _class_names(folder: Path) -> list[str]:
    """Returns the classes of a training part."""
    found = _folders(folder)
    if len(found) < 2:
        raise UserError(_too_few_classes(folder, found))
    return found


def _part(folder: Path, known: Sequence[str], origin: str, reading: Reading) -> Photographs:
    """Returns the images of a part.

    Args:
      folder: that has the classes.
      known: names of classes, in their order.
      origin: what these are the classes of.
      reading: how its photographs are read.
    """
    found = _folders(folder)
    unknown = [name for name in found if name not in known]
    if unknown or not found:
        problem = f"the class {unknown[0]!r}, which {origin} has not" if found else "no classes"
        raise UserError(
            f"{str(folder)!r} has {problem}; it has a folder of images for each class, with the "
            f"names that {origin} has ({_shortened(known)})."
        )
    images = {name: _images(folder / name) for name in found}
    paths = [path for name in found for path in images[name]]
    number = {name: label for label, name in enumerate(known)}
    labels = [number[name] for name in found for _ in images[name]]
    return Photographs(
        Paths(paths), np.arange(len(paths)), np.array(labels, np.int32), known, reading
    )


def _folders(folder: Path) -> list[str]:
    return natural(entry.name for entry in _visible(folder) if entry.is_dir())


def _images(folder: Path) -> list[Path]:
    """Returns the image files of a class."""
    # A link that leads nowhere is listed, so that it is an error when it is read.
    names = (
        entry.name
        for entry in _visible(folder)
        if entry.suffix.lower() in SUFFIXES and not entry.is_dir()
    )
    images = [folder / name for name in natural(names)]
    if not images:
        inner = _folders(folder)
        hint = f", but folders, such as {inner[0]!r}, which are not looked into" if inner else ""
        raise UserError(
            f"the folder of the class {folder.name!r} has no images in it{hint} ({str(folder)!r}); "
            f"put some there ({', '.join(SUFFIXES)}), or take the folder away."
        )
    return images


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(
            f"folder {str(folder)!r} cannot be read ({error.strerror}); mend that."
        ) from error


def natural(names: Iterable[str]) -> list[str]:
    """Returns names in the order in which people count: 9 before 10."""

    def key(name: str) -> tuple[list[int | str], str]:
        pieces = re.split(r"(\d+)", name)
        return [int(x) if i % 2 else x.casefold() for i, x in enumerate(pieces)], name

    return sorted(names, key=key)


def _too_few_classes(folder: Path, found: Sequence[str]) -> str:
    count = f"only one class, {found[0]!r}" if found else "no classes"
    loose = sum(entry.suffix.lower() in SUFFIXES for entry in _visible(folder))
    hint = f" It has {counted(loose, 'image')} outside of such folders." if loose else ""
    return (
        f"{str(folder)!r} has {count}; it must have a folder of images for each of two classes or "
        f"more, named after it.{hint}"
    )


def _shortened(names: Sequence[str]) -> str:
    most = 8
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
