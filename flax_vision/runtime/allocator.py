"""Settings of glibc's allocator that keep the memory a program frees for what it allocates next.

XLA allocates its arrays anew at every step. By default glibc returns large blocks to the system at
once, and the kernel clears their pages again, 4 KiB at a time. With these settings the heaps keep
what is freed. Blocks too large for the heap of a thread, 64 MiB, are still returned, but come back
in huge pages. One heap for all threads (`arena_max=1`) would keep those too, but grows from step to
step.

glibc reads its settings when a process starts, so the program replaces itself by itself with them.
"""

import os
import platform
import sys
from collections.abc import Mapping
from typing import NoReturn

from flax_vision.runtime.terminal import warn

ALLOCATOR = "FLAX_VISION_ALLOCATOR"
"""The environment variable that selects one of `ALLOCATORS`."""

ALLOCATORS = {
    "keep": "kept by glibc, in huge pages where the kernel has them",
    "system": "as the system's allocator does",
}

TUNABLES = "GLIBC_TUNABLES"
KEEP = ":".join(
    f"glibc.malloc.{setting}"
    for setting in ("hugetlb=1", f"mmap_threshold={10**11}", f"trim_threshold={10**11}")
)


def needs_restart(environment: Mapping[str, str]) -> bool:
    """Returns whether the program must start again to keep the memory that it frees."""
    # Tunables that are there already are the user's own, or ours from before the start.
    wanted = environment.get(ALLOCATOR, "")
    return wanted != "system" and TUNABLES not in environment and _is_glibc()


def restart(environment: Mapping[str, str]) -> NoReturn:
    """Starts the program again so that it keeps the memory that it frees."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    program = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, program, {**environment, TUNABLES: KEEP})


def check(environment: Mapping[str, str]) -> None:
    """Warns of settings that cannot be met."""
    wanted = environment.get(ALLOCATOR, "")
    if wanted not in ("", *ALLOCATORS):
        allowed = " or ".join(ALLOCATORS)
        warn(f"{ALLOCATOR} is {wanted!r}; it must be {allowed}, so it is ignored")
    elif wanted == "keep" and not _is_glibc():
        warn(f"{ALLOCATOR} is 'keep', which takes glibc, and {platform.platform()} has none")
    elif wanted == "keep" and environment.get(TUNABLES, KEEP) != KEEP:
        warn(f"{ALLOCATOR} is 'keep', but {TUNABLES} has settings already, which stand")


def describe() -> str:
    """Returns what becomes of the memory that this process frees."""
    return ALLOCATORS["keep" if os.environ.get(TUNABLES) == KEEP else "system"]


def _is_glibc() -> bool:
    return platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"
