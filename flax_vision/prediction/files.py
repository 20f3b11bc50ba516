"""The photographs that a person names: files, and folders of them."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from flax_vision.data.folder import SUFFIXES, natural
from flax_vision.errors import UserError


def find_photographs(named: str | Path | Sequence[str | Path]) -> list[Path]:
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
    missing = [str(path) for path in named if not os.path.lexists(Path(path).expanduser())]
    if missing:
        raise UserError(f"{missing[0]!r} does not exist; give files, or folders with images.")
    found: dict[Path, None] = {}
    for path in named:
        found |= dict.fromkeys(_photographs(Path(path).expanduser()))
    return list(found)


def _photographs(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    inside = (file.relative_to(path) for file in path.rglob("*"))
    names = [
        str(file)
        for file in inside
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.parts)
        and ((path / file).is_file() or not (path / file).exists())
    ]
    if not names:
        raise UserError(
            f"the folder {str(path)!r} has no images in it; give one that has some "
            f"({', '.join(SUFFIXES)})."
        )
    return [path / name for name in natural(names)]


def truth_of(path: Path, class_names: Collection[str]) -> str | None:
    """Returns the class after which the folder of a photograph is named; None where it is not."""
    folder = path.absolute().parent.name
    return folder if folder in class_names else None
