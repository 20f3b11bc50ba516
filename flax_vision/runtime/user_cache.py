"""The user's cache directory, which other users must not be able to write.

Compiled code is loaded from there.
"""

import functools
import os
import stat
from pathlib import Path

import platformdirs

from flax_vision.runtime.terminal import warn

MODE = 0o755
"""Permissions of the directory: only its owner can write it."""


def cache_dir() -> Path | None:
    """Returns the cache directory of this package, and creates it if it is missing.

    Returns:
      None, with one warning, if the user has no home directory, the directory cannot be created,
      or other users can write it.
    """
    try:
        path = platformdirs.user_cache_path("flax_vision").expanduser().absolute()
    except RuntimeError:
        _warn_once("this user has no home directory")
        return None
    try:
        path.mkdir(MODE, parents=True, exist_ok=True)
        reason = untrusted_reason(path)
    except OSError as error:
        reason = f"cannot be created ({error.strerror})"
    if reason:
        _warn_once(f"{path} {reason}")
        return None
    return path


def untrusted_reason(path: Path) -> str | None:
    """Returns why other users can change a file or directory; None if they cannot.

    Raises:
      OSError: The file or directory cannot be read.
    """
    if not hasattr(os, "geteuid"):  # Windows: a user's profile is private
        return None
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        return "belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (`chmod go-w {path}` prevents it)"
    return None


@functools.cache
def _warn_once(reason: str) -> None:
    warn(
        f"nothing is cached, so code is compiled again at every start: {reason}; set "
        "XDG_CACHE_HOME to a directory of your own",
        stacklevel=3,
    )
