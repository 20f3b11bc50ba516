"""JAX's compilation cache, and the removal of its damaged entries.

JAX never replaces an existing entry, even one damaged by a full disk or a killed process. It would
compile that program at every start.
"""

import hashlib
import re
import tempfile
import warnings
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from flax_vision.runtime import cpu_features, restart, user_cache
from flax_vision.runtime.terminal import warn

CACHE = "JAX_COMPILATION_CACHE_DIR"
"""JAX's environment variable for the directory of the cache."""

SHORTEST_COMPILATION = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
"""JAX's environment variable for the shortest compilation that it caches, in seconds."""

_SIZE = "JAX_COMPILATION_CACHE_MAX_SIZE"
_NO_LIMIT = "-1"
_CACHE_BYTES = 2 << 30
_DAMAGE = re.compile(r"Error reading persistent compilation cache entry for '(.+?)': ")


def configure(environment: MutableMapping[str, str]) -> None:
    """Makes JAX cache compiled programs in the user's cache directory.

    A directory that the user has set is kept.
    """
    given = environment.get(CACHE)
    if given == "" or "://" in (given or ""):  # no cache, or a bucket, which JAX handles
        return
    path = _default_directory() if given is None else Path(given)
    if path is None or not _is_usable(path, is_own=given is None):
        environment[CACHE] = ""
        return
    if not restart.is_interactive():  # a session shows warnings in its own way
        _remove_unreadable_entries(path)
    if given is None:
        environment[CACHE] = str(path)
        environment.setdefault(_SIZE, str(_CACHE_BYTES))
        environment.setdefault(SHORTEST_COMPILATION, "0.1")
        if environment[_SIZE] != _NO_LIMIT:
            _remove_unfinished(path)


def tell_jax(environment: Mapping[str, str]) -> None:
    """Passes the settings to JAX, which has read its variables already, unless it has its own."""
    import jax

    if getattr(jax.config, CACHE.lower()) is None:
        jax.config.update(CACHE.lower(), environment.get(CACHE) or None)
        for variable, kind in ((_SIZE, int), (SHORTEST_COMPILATION, float)):
            if variable in environment:
                jax.config.update(variable.lower(), kind(environment[variable]))


def _default_directory() -> Path | None:
    """Returns the cache directory for the machine's instruction set, for which XLA compiles.

    Machines may share a home directory, and JAX's cache keys do not contain the instruction set.
    """
    cache = user_cache.cache_dir()
    digest = hashlib.sha256(cpu_features.flags().encode()).hexdigest()[:8]
    return cache / f"xla-{digest}" if cache else None


def _is_usable(path: Path, is_own: bool) -> bool:
    """Creates a cache directory, and warns if it cannot be used."""
    try:
        path.mkdir(user_cache.MODE, parents=True, exist_ok=True)
        reason = user_cache.untrusted_reason(path) if is_own else None
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        reason = f"cannot be written ({error.strerror})"
    if reason:
        variable = "XDG_CACHE_HOME" if is_own else CACHE
        warn(
            f"programs are compiled again at every start: {path} {reason}; set {variable} to a "
            "directory of your own"
        )
    return not reason


def _remove_unfinished(path: Path) -> None:
    """Removes entries without a time of last use; JAX writes it last."""
    for program in path.glob("*-cache"):
        if not program.with_name(program.name.removesuffix("cache") + "atime").exists():
            program.unlink(missing_ok=True)


def _remove_unreadable_entries(path: Path) -> None:
    """Removes each entry that JAX cannot read, so that JAX writes it again; a warning names it."""
    show = warnings.showwarning

    def show_and_remove(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        show(message, *args, **kwargs)
        if found := _DAMAGE.match(str(message)):
            _remove_entries(path, found[1])

    warnings.showwarning = show_and_remove


def _remove_entries(path: Path, program: str) -> None:
    """Removes all entries of a program, because JAX's warning does not name the single entry."""
    entry = re.compile(re.escape(program) + "-[0-9a-f]+-(cache|atime)")
    for file in path.iterdir():
        if entry.fullmatch(file.name):
            file.unlink(missing_ok=True)
