"""Paths as users type them."""

import os
from pathlib import Path


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
