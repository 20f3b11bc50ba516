"""The photographs that a person names: files, and folders of them."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from flax_vision.data.folder import SUFFIXES, natural
from flax_vision.errors import UserError


class Found(NamedTuple):
    """What a person names.

    Attributes:
      paths: of the photographs, each once.
      others: files in folders that are no images by their names, and are passed over.
    """

    paths: list[Path]
    others: int


def find_photographs(named: str | Path | Sequence[str | Path]) -> Found:
    """Returns the files, and the images in folders at any depth, those in natural order.

    Hidden files and folders are passed over. A link to nothing is among them, to be named where it
    cannot be read.

    Args:
      named: files, which may have any name, and folders; or one of them.

    Raises:
      UserError: nothing is named, something does not exist, or a folder has no images.
    """
    if not named:
        raise UserError("no photographs are named; give files, or folders with images in them.")
    if isinstance(named, str | Path):
        named = [named]
    missing = [str(path) for path in named if not _exists(path)]
    if missing:
        raise UserError(f"{missing[0]!r} does not exist; give files, or folders with images.")
    found: dict[Path, None] = {}
    others: set[Path] = set()
    for path in map(Path.expanduser, map(Path, named)):
        if not path.is_dir():
            found[path] = None
            continue
        files = _files(path)
        images = [file for file in files if Path(file).suffix.lower() in SUFFIXES]
        if not images:
            raise UserError(
                f"the folder {str(path)!r} has no images in it; give one that has some "
                f"({', '.join(SUFFIXES)})."
            )
        found |= dict.fromkeys(path / file for file in natural(images))
        others |= {path / file for file in {*files}.difference(images)}
    return Found(list(found), len(others - found.keys()))


def _exists(path: str | Path) -> bool:
    # An empty text, as of a variable that is not set, would be the current directory to Path.
    return path != "" and os.path.lexists(Path(path).expanduser())


def _files(folder: Path) -> list[str]:
    """Returns the files in a folder at any depth, and links to nothing; hidden ones are not."""
    inside = (file.relative_to(folder) for file in folder.rglob("*"))
    return [
        str(file)
        for file in inside
        if not any(part.startswith(".") for part in file.parts)
        and ((folder / file).is_file() or not (folder / file).exists())
    ]


def truth_of(path: Path, class_names: Collection[str]) -> str | None:
    """Returns the class after which the folder of a photograph is named; None where it is not."""
    folder = path.absolute().parent.name
    return folder if folder in class_names else None
