"""Where a program's memory comes from: what it frees is kept for what it takes next.

XLA takes its arrays from the allocator anew at every step. glibc gives large ones back to the
system at once, so that every page of every array is faulted in again, 4 KiB at a time: a quarter of
a training step of ResNet-50. Its settings keep what the first thread frees; XLA's steps run in
others, whose large blocks a small library of our own keeps, `kept_memory.cc`. One heap for all
threads (`arena_max=1`) would keep them too, but grows from step to step.

Both are read when a process starts, so the program replaces itself by itself with them.
"""

import ctypes
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NoReturn

from flax_vision.runtime import native_build, user_cache
from flax_vision.runtime.native_build import UnavailableError
from flax_vision.runtime.terminal import warn
from flax_vision.runtime.user_cache import NoCacheError

ALLOCATOR = "FLAX_VISION_ALLOCATOR"
"""The variable of the environment that says how memory is taken: see `ALLOCATORS`."""

ALLOCATORS = {
    "keep": "kept, in huge pages where the kernel has them",
    "system": "as the system's allocator does",
}

TUNABLES = "GLIBC_TUNABLES"
PRELOAD = "LD_PRELOAD"
KEEP = ":".join(
    f"glibc.malloc.{setting}"
    for setting in ("hugetlb=1", f"mmap_threshold={10**11}", f"trim_threshold={10**11}")
)

_LIBRARY = "kept-memory"
# Before 2.34 glibc has some of the functions in libraries of their own.
_OPTIONS = ["-std=c++17", "-O2", "-fno-exceptions", "-Wl,--as-needed", "-ldl", "-lpthread"]


def needs_restart(environment: Mapping[str, str]) -> bool:
    """Returns whether the program must start again to keep the memory that it frees."""
    # Tunables that are there already are the user's own, or ours from before the start.
    wanted = environment.get(ALLOCATOR, "")
    return wanted != "system" and TUNABLES not in environment and _is_glibc()


def restart(environment: Mapping[str, str]) -> NoReturn:
    """Starts the program again so that it keeps the memory that it frees."""
    settings = keeping(environment, says_why=environment.get(ALLOCATOR) == "keep")
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    program = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, program, {**environment, **settings})


def check(environment: Mapping[str, str]) -> None:
    """Warns of settings that cannot be met."""
    wanted = environment.get(ALLOCATOR, "")
    if wanted not in ("", *ALLOCATORS):
        allowed = " or ".join(ALLOCATORS)
        _warn(f"{ALLOCATOR} is {wanted!r}; it must be {allowed}, so it is ignored")
    elif wanted == "keep" and not _is_glibc():
        _warn(f"{ALLOCATOR} is 'keep', which takes glibc, and {platform.platform()} has none")
    elif wanted == "keep" and environment.get(TUNABLES, KEEP) != KEEP:
        _warn(f"{ALLOCATOR} is 'keep', but {TUNABLES} has settings already, which stand")


def keeping(environment: Mapping[str, str], says_why: bool = True) -> dict[str, str]:
    """Returns what the environment of a process needs beside that, for it to keep what it frees.

    The library is compiled if need be. Where it cannot be had, glibc's settings remain.

    Args:
      environment: that the process has otherwise.
      says_why: warns of the reason then.
    """
    try:
        return {TUNABLES: KEEP, PRELOAD: str(_library(environment))}
    except UnavailableError as error:
        if says_why:
            _warn(f"large blocks of freed memory are not kept: {error}")
        return {TUNABLES: KEEP}


def describe() -> str:
    """Returns what becomes of the memory that this process frees."""
    if os.environ.get(TUNABLES) != KEEP:
        return ALLOCATORS["system"]
    if f"/{_LIBRARY}-" in Path("/proc/self/maps").read_text():
        return ALLOCATORS["keep"]
    return f"kept by glibc, but for large blocks ({ALLOCATOR}=keep says why)"


def _is_glibc() -> bool:
    return platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"


def _library(environment: Mapping[str, str]) -> Path:
    """Returns the file of the library; compiles it where it is missing or untrusted."""
    source = resources.files("flax_vision.runtime").joinpath("kept_memory.cc").read_bytes()
    name = native_build.file_name(_LIBRARY, source, platform.machine(), *platform.libc_ver())
    if Path(environment.get(PRELOAD, "")).name not in ("", name):
        raise UnavailableError(f"{PRELOAD} is {environment[PRELOAD]!r}, which may have its own way")
    try:
        path = _cached(source, name) or _private(source, name)
        ctypes.CDLL(str(path))  # for a process that starts with what cannot be loaded may end
    except OSError as error:
        raise UnavailableError(str(error)) from error
    return path


def _cached(source: bytes, name: str) -> Path | None:
    """Returns the library's file in the cache directory; None where that cannot be written."""
    try:
        path = user_cache.find_cache_dir() / name
    except NoCacheError:
        return None
    if {" ", ":"} & {*str(path)}:
        raise UnavailableError(f"{PRELOAD} cannot name {path}, for its space or colon")
    try:
        if not path.exists() or native_build.invalid_reason(path):
            _build(source, path)
    except OSError:
        return None
    return path


def _build(source: bytes, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "kept_memory.so"
        native_build.compile_library(source, _OPTIONS, built)
        native_build.keep(built, path)


def _private(source: bytes, name: str) -> Path:
    """Compiles the library to a file without a name, and returns its path.

    The file exists as long as this process, also in the program that replaces this one, and is
    there for its children.
    """
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / name
        native_build.compile_library(source, _OPTIONS, built)
        file = os.open(built, os.O_RDONLY)
    os.set_inheritable(file, True)
    return Path(f"/proc/{os.getpid()}/fd/{file}")


def _warn(text: str) -> None:
    warn(text)
