"""The image files that a user names, directly or by folder."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from flax_vision.data.file_list import SUFFIXES, is_image, natural
from flax_vision.errors import UserError
from flax_vision.runtime.files import irregular_reason, to_path
from flax_vision.text import listed, nfc

_MAX_NAMED = 8
"""Number of names with reasons in an error."""


class FoundImages(NamedTuple):
    """The files that a user names.

    Attributes:
      paths: Paths of the image files, without duplicates.
      skipped: Files in folders without an image extension.
      unreadable: Reasons by path, for pipes, devices, unreadable folders, and names without an
        image.
    """

    paths: list[Path]
    skipped: list[Path]
    unreadable: dict[str, str]


def find_images(named: str | Path | Sequence[str | Path]) -> FoundImages:
    """Finds the named files, and the images in named folders at any depth, in natural order.

    Hidden files and folders are skipped. Broken links are included; decoding reports them.

    Args:
      named: Files with any extension, and folders; or one of them.

    Raises:
      UserError: Nothing is named, or no name leads to an image.
    """
    if not named:
        raise UserError("no images are named; give files, or folders with images in them.")
    found: dict[Path, None] = {}
    skipped: set[Path] = set()
    unreadable: dict[str, str] = {}
    for name in [named] if isinstance(named, str | Path) else named:
        path = to_path(name)
        # Path("") is the current directory, but an empty name is an unset variable.
        if name == "" or not os.path.lexists(path):
            unreadable[str(name)] = "it does not exist; give files, or folders with images"
        elif not path.is_dir():
            found[path] = None
        else:
            files, closed = _list_files(path)
            images = [file for file in files if is_image(Path(file))]
            found |= dict.fromkeys(path / file for file in natural(images))
            skipped |= {path / file for file in {*files}.difference(images)}
            unreadable |= closed
            if not images and not closed:
                unreadable[str(path)] = f"the folder has no images in it ({', '.join(SUFFIXES)})"
    unreadable |= {str(path): reason for path in found if (reason := irregular_reason(path))}
    paths = [path for path in found if str(path) not in unreadable]
    if not paths:
        reasons = [f"{name!r}: {reason}" for name, reason in unreadable.items()]
        raise UserError(f"there are no images to read: {listed(reasons, _MAX_NAMED, '; ')}.")
    return FoundImages(paths, sorted(skipped - found.keys()), unreadable)


def _list_files(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Returns the files in a folder at any depth, and its unreadable folders with reasons.

    Pipes, devices and broken links are included; hidden files are not.
    """
    files: list[str] = []
    closed: dict[str, str] = {}

    def add_closed(error: OSError) -> None:
        closed[error.filename] = error.strerror or str(error)

    for parent, folders, names in os.walk(folder, onerror=add_closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = [name for name in names if not name.startswith(".")]
        files += [os.path.relpath(os.path.join(parent, name), folder) for name in visible]
    return files, closed


def folder_class(path: Path, class_names: Collection[str]) -> str | None:
    """Returns the class with the name of a file's folder, or None if there is none.

    Names are compared in Unicode's form NFC; the result has the spelling of `class_names`.
    """
    folder = nfc(path.absolute().parent.name)
    return next((name for name in class_names if nfc(name) == folder), None)
