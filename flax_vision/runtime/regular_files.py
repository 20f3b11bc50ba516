"""Regular files, which are read to their end; reading a pipe or a device may never end."""

import errno
import stat
from pathlib import Path
from typing import IO

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}


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
    found = _KINDS.get(kind, "something else")
    return "" if kind == stat.S_IFREG else f"it is {found}, not a regular file"


def open_regular(path: Path) -> IO[bytes]:
    """Opens a file for reading.

    Raises:
      OSError: It cannot be opened, or is not a regular file.
    """
    if reason := irregular_reason(path):
        raise OSError(errno.EINVAL, reason, str(path))
    return path.open("rb")


def read_regular(path: Path) -> bytes:
    """Returns the content of a file.

    Raises:
      OSError: It cannot be read, or is not a regular file.
    """
    with open_regular(path) as file:
        return file.read()
