"""The photographs that a person names: files, and folders of them."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from flax_vision.data.file_list import SUFFIXES, is_image, natural
from flax_vision.errors import UserError
from flax_vision.runtime.paths import to_path
from flax_vision.runtime.regular_files import irregular_reason
from flax_vision.text import listed, nfc

_NAMED = 8
"""Number of names with reasons in an error."""


class FoundImages(NamedTuple):
    """What a person names.

    Attributes:
      paths: of the photographs, each once.
      others: files in folders that are no images by their names, and are passed over.
      unreadable: Reasons by path, for pipes, devices, unreadable folders, and names without a
        photograph.
    """

    paths: list[Path]
    others: list[Path]
    unreadable: dict[str, str]


def find_photographs(named: str | Path | Sequence[str | Path]) -> FoundImages:
    """Returns the files, and the images in folders at any depth, those in natural order.

    Hidden files and folders are passed over. A link to nothing is among them, to be named where it
    cannot be read.

    Args:
      named: files, which may have any name, and folders; or one of them.

    Raises:
      UserError: nothing is named, or nothing that is named has a photograph.
    """
    if not named:
        raise UserError("no photographs are named; give files, or folders with images in them.")
    if isinstance(named, str | Path):
        named = [named]
    found: dict[Path, None] = {}
    others: set[Path] = set()
    unreadable: dict[str, str] = {}
    for text in named:
        path = to_path(text)
        # An empty text, as of a variable that is not set, would be the current directory to Path.
        if text == "" or not os.path.lexists(path):
            unreadable[str(text)] = "it does not exist; give files, or folders with images"
        elif not path.is_dir():
            found[path] = None
        else:
            files, closed = _files(path)
            images = [file for file in files if is_image(Path(file))]
            found |= dict.fromkeys(path / file for file in natural(images))
            others |= {path / file for file in {*files}.difference(images)}
            unreadable |= closed
            if not images and not closed:
                unreadable[str(path)] = f"the folder has no images in it ({', '.join(SUFFIXES)})"
    unreadable |= {str(path): reason for path in found if (reason := irregular_reason(path))}
    paths = [path for path in found if str(path) not in unreadable]
    if not paths:
        reasons = [f"{name!r}: {reason}" for name, reason in unreadable.items()]
        raise UserError(f"there are no photographs to look at: {listed(reasons, _NAMED, '; ')}.")
    return FoundImages(paths, sorted(others - found.keys()), unreadable)


def _files(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Returns the files in a folder at any depth, and the folders there that cannot be read.

    Pipes, devices and broken links are included; hidden files are not.
    """
    files: list[str] = []
    closed: dict[str, str] = {}

    def refuse(error: OSError) -> None:
        closed[error.filename] = error.strerror or str(error)

    for inside, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = (Path(inside, name) for name in names if not name.startswith("."))
        files += [str(path.relative_to(folder)) for path in shown]
    return files, closed


def truth_of(path: Path, class_names: Collection[str]) -> str | None:
    """Returns the class, in the network's spelling, that a photograph's folder is named after.

    The result is None for a folder that is not named after a class.
    """
    folder = nfc(path.absolute().parent.name)
    return next((name for name in class_names if nfc(name) == folder), None)
