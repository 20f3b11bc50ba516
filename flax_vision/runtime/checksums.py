"""SHA-256 checksums of the files in a directory, in a file beside them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from flax_vision.runtime.files import read_regular

FILE = "sha256.json"
"""Name of the file with the checksums."""


class ChecksumError(Exception):
    """Raised for a directory with changed files; names the first of them."""


def write_checksums(folder: Path, items: Iterable[str] | None = None) -> None:
    """Writes the checksums of all files in a directory.

    Args:
      folder: Directory.
      items: Names of the covered files and directories in it; None for all.
    """
    (folder / FILE).write_text(json.dumps(_checksums(folder, items)))


def check_checksums(folder: Path, items: Iterable[str] | None = None) -> None:
    """Compares all files in a directory with their checksums; hidden files may have been added.

    Args:
      folder: Directory.
      items: Names of the compared files and directories in it; None for all.

    Raises:
      ChecksumError: A file is missing, surplus or changed.
      OSError: A file cannot be read.
    """
    written = _read(folder / FILE)
    if items is not None:
        items = set(items)
        written = {name: value for name, value in written.items() if name.split("/")[0] in items}
    found = _checksums(folder, items)
    for name in sorted(written | found):
        if name not in found:
            raise ChecksumError(f"{name!r} is missing")
        # macOS adds hidden files to directories.
        if name not in written and not Path(name).name.startswith("."):
            raise ChecksumError(f"{name!r} does not belong there")
        if name in written and written[name] != found[name]:
            raise ChecksumError(f"{name!r} is not as it was written")


def _read(file: Path) -> dict[str, object]:
    try:
        content = json.loads(read_regular(file))
    except FileNotFoundError as error:
        raise ChecksumError(f"it has no {FILE}") from error
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ChecksumError(f"{FILE} is not as it was written")
    return content


def _checksums(folder: Path, items: Iterable[str] | None) -> dict[str, str]:
    """Returns the checksum of every file by its path in a directory."""
    names = {path.name for path in folder.iterdir()} - {FILE} if items is None else items
    paths = (path for name in names for path in (folder / name, *(folder / name).rglob("*")))
    files = sorted(path for path in paths if path.is_file())
    return {file.relative_to(folder).as_posix(): _checksum(file) for file in files}


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
