"""Paths as users type them, regular files, and outputs.

Reading a pipe or a device may never end.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from flax_vision.errors import UserError

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}


def expanded_path(text: str) -> str:
    """Returns a path with the home directory in place of `~`."""
    return os.path.expanduser(text)


def to_path(path: str | Path) -> Path:
    """Returns the path of a text, with the home directory in place of `~`.

    A `Path` is not changed. It may come from the listing of a folder that has a file `~x.png`.
    """
    return Path(expanded_path(path)) if isinstance(path, str) else path


def normalized_path(text: str) -> str:
    """Returns a path relative to the current directory, or an absolute one outside of it.

    An empty text stays empty.
    """
    if not text:
        return ""
    resolved, here = Path(os.path.realpath(expanded_path(text))), Path.cwd()
    return str(resolved.relative_to(here) if resolved.is_relative_to(here) else resolved)


def irregular_reason(path: Path) -> str:
    """Returns why a path must not be opened.

    Returns:
      A clause such as `it is a named pipe, not a regular file`; empty for a regular file or an
      inaccessible path, such as a broken link.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError:
        return ""
    if kind == stat.S_IFREG:
        return ""
    return f"it is {_KINDS.get(kind, 'something else')}, not a regular file"


def open_regular(path: Path) -> IO[bytes]:
    """Opens a regular file for reading.

    Raises:
      OSError: The file cannot be opened, or is not regular.
    """
    if reason := irregular_reason(path):
        raise OSError(errno.EINVAL, reason, str(path))
    return path.open("rb")


def read_regular(path: Path) -> bytes:
    """Returns the content of a regular file.

    Raises:
      OSError: The file cannot be read, or is not regular.
    """
    with open_regular(path) as file:
        return file.read()


@contextlib.contextmanager
def write_errors(path: Path, hint: str) -> Iterator[None]:
    """Turns system errors about an output into a UserError that ends with a hint."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{str(path)!r} cannot be written ({reason}); {hint}.") from error


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yields a path for the new content of a file, and then replaces the file atomically.

    An error or a kill leaves the old file.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def unfinished_directory(path: Path) -> Iterator[Path]:
    """Creates a directory beside a path for unfinished content, and finally removes it."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
