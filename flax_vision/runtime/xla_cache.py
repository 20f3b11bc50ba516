"""JAX's cache of compiled programs, and the removal of its damaged entries.

JAX never replaces an existing entry, even a damaged one. After a full disk or a killed process it
would compile that program at every start.
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
"""JAX's variable for the directory of compiled programs."""

SHORTEST_COMPILATION = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
"""JAX's variable for the shortest compilation that is cached, in seconds."""

_SIZE = "JAX_COMPILATION_CACHE_MAX_SIZE"
_NO_LIMIT = "-1"
_CACHE_BYTES = 2 << 30
_DAMAGE = re.compile(r"Error reading persistent compilation cache entry for '(.+?)': ")


def configure(environment: MutableMapping[str, str]) -> None:
    """Makes JAX keep compiled programs in the cache directory, unless the user chose another."""
    named = environment.get(CACHE)
    if named == "" or "://" in (named or ""):  # none, or a bucket, which JAX handles
        return
    path = _own_directory() if named is None else Path(named)
    if path is None or not _is_usable(path, is_own=named is None):
        environment[CACHE] = ""
        return
    if not restart.is_interactive():  # a session shows warnings in its own way
        _remove_unreadable_entries(path)
    if named is None:
        environment[CACHE] = str(path)
        environment.setdefault(_SIZE, str(_CACHE_BYTES))
        environment.setdefault(SHORTEST_COMPILATION, "0.1")
        if environment[_SIZE] != _NO_LIMIT:
            _remove_unfinished(path)


def tell_jax(environment: Mapping[str, str]) -> None:
    """Gives the settings to JAX where it has read its variables before, unless it has others."""
    import jax

    if getattr(jax.config, CACHE.lower()) is None:
        jax.config.update(CACHE.lower(), environment.get(CACHE) or None)
        for variable, kind in ((_SIZE, int), (SHORTEST_COMPILATION, float)):
            if variable in environment:
                jax.config.update(variable.lower(), kind(environment[variable]))


def _own_directory() -> Path | None:
    cache = user_cache.cache_dir()
    return cache / f"xla-{_instructions()}" if cache else None


def _instructions() -> str:
    """Returns a name for the machine's instruction set, for which XLA compiles.

    A home directory may be shared among machines, and JAX's keys do not tell them apart.
    """
    return hashlib.sha256(cpu_features.flags().encode()).hexdigest()[:8]


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
            f"programs are compiled anew at every start: {path} {reason}; set {variable} to a "
            "directory of your own"
        )
    return not reason


def _remove_unfinished(path: Path) -> None:
    """Removes entries without a time of last use, which JAX writes last."""
    for program in path.glob("*-cache"):
        if not program.with_name(program.name.removesuffix("cache") + "atime").exists():
            program.unlink(missing_ok=True)


def _remove_unreadable_entries(path: Path) -> None:
    """Removes each entry that JAX warns it cannot read, so that JAX writes it again."""
    show = warnings.showwarning

    def show_and_remove(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        show(message, *args, **kwargs)
        if found := _DAMAGE.match(str(message)):
            _remove(path, found[1])

    warnings.showwarning = show_and_remove


def _remove(path: Path, program: str) -> None:
    """Removes all entries with a program's name, because the warning does not name the entry."""
    entry = re.compile(re.escape(program) + "-[0-9a-f]+-(cache|atime)")
    for file in path.iterdir():
        if entry.fullmatch(file.name):
            file.unlink(missing_ok=True)
