"""Photographs in a folder that has a folder for each class."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flax_vision.data.decoding import DecodingError, check_header
from flax_vision.data.image_set import Report
from flax_vision.data.photographs import Photographs, cannot_be_read
from flax_vision.data.view import Reading
from flax_vision.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""Of the files that are taken for images, in any case."""

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

    def name(self, index: int) -> str:
        """Returns the path of a file."""
        return str(self.paths[index])


def load_folder(
    path: str, reading: Reading, report: Report
) -> tuple[Photographs, Photographs | None, Photographs | None]:
    """Finds the images of a folder, and looks at the headers of the first 10,000 of each part.

    It has either a folder for each class, or folders `train` and, if wanted, `val` or
    `validation`, and `test`, with one for each class in it. Classes and files come in natural
    order (`9.jpg` before `10.jpg`), links are followed, and hidden files, those of other kinds and
    folders inside those of the classes are passed over.

    Args:
      path: of the folder.
      reading: how its photographs are read.
      report: called with a text, the images looked at so far and their number.

    Returns:
      The parts `train` (all there is, where there is no such folder), `validation` and `test`, None
      for those that there are not.

    Raises:
      UserError: there is no such folder, it has no classes, one is empty, a part has one that
        `train` has not, or a header cannot be read.
    """
    root = Path(path).expanduser()
    if not path or not root.is_dir():
        found = "is not a directory" if root.exists() else "does not exist"
        problem = f"is {path!r}, which {found}" if path else "is not given"
        raise UserError(
            f"config.data.path {problem}; give --config.data.path=DIR, where DIR has a folder of "
            "images for each class, or train/ and val/ with such folders in them."
        )
    if not (root / "train").is_dir():
        return _part(root, None, reading, report), None, None
    train = _part(root / "train", None, reading, report)
    validation, test = (
        next((root / name for name in names if (root / name).is_dir()), None)
        for names in (_VALIDATION, ("test",))
    )

    def other(folder: Path | None) -> Photographs | None:
        return _part(folder, train.class_names, reading, report) if folder else None

    return train, other(validation), other(test)


def _part(
    folder: Path, class_names: Sequence[str] | None, reading: Reading, report: Report
) -> Photographs:
    """Returns the images of a part.

    Args:
      folder: that has the classes.
      class_names: of the training part; None where this is it.
      reading: how its photographs are read.
      report: called with a text, the images looked at so far and their number.
    """
    found = _natural(entry.name for entry in _visible(folder) if entry.is_dir())
    if class_names is None:
        if len(found) < 2:
            raise UserError(_too_few_classes(folder, found))
        class_names = found
    unknown = [name for name in found if name not in class_names]
    if unknown or not found:
        problem = f"the class {unknown[0]!r}, which train/ has not" if found else "no classes"
        raise UserError(
            f"{str(folder)!r} has {problem}; each part has folders with the names of those in "
            f"train/ ({_shortened(class_names)})."
        )
    number = {name: label for label, name in enumerate(class_names)}
    paths: list[Path] = []
    labels: list[int] = []
    for name in found:
        images = _images(folder / name)
        paths += images
        labels += [number[name]] * len(images)
    _check(folder, paths, reading, report)
    return Photographs(
        Paths(paths), np.arange(len(paths)), np.array(labels, np.int32), class_names, reading
    )


def _images(folder: Path) -> list[Path]:
    """Returns the image files of a class."""
    # A link that leads nowhere is listed, so that it is an error when it is read.
    names = (
        entry.name
        for entry in _visible(folder)
        if entry.suffix.lower() in SUFFIXES and not entry.is_dir()
    )
    images = [folder / name for name in _natural(names)]
    if not images:
        raise UserError(
            f"the folder of the class {folder.name!r} has no images in it ({str(folder)!r}); put "
            f"some there ({', '.join(SUFFIXES)}), or take the folder away."
        )
    return images


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(
            f"folder {str(folder)!r} cannot be read ({error.strerror}); mend that."
        ) from error


def _natural(names: Iterable[str]) -> list[str]:
    """Returns names in the order in which people count: 9 before 10."""

    def key(name: str) -> tuple[list[int | str], str]:
        pieces = re.split(r"(\d+)", name)
        return [int(x) if i % 2 else x.casefold() for i, x in enumerate(pieces)], name

    return sorted(names, key=key)


def _too_few_classes(folder: Path, found: Sequence[str]) -> str:
    count = f"only one class, {found[0]!r}" if found else "no classes"
    loose = sum(entry.suffix.lower() in SUFFIXES for entry in _visible(folder))
    hint = f" It has {loose:,} images outside of such folders." if loose else ""
    return (
        f"{str(folder)!r} has {count}; it must have a folder of images for each of two classes or "
        f"more, named after it.{hint}"
    )


def _shortened(names: Sequence[str]) -> str:
    most = 8
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _check(folder: Path, paths: Sequence[Path], reading: Reading, report: Report) -> None:
    if reading.on_error == "skip":  # then they are counted when they are needed
        return
    chosen = paths[:_CHECKED]
    for done, path in enumerate(chosen, 1):
        try:
            with path.open("rb") as file:
                check_header(file)
        except (OSError, DecodingError) as error:
            raise cannot_be_read(str(path), error) from error
        report(f"headers of {folder}", done, len(chosen))
