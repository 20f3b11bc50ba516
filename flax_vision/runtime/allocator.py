"""Settings of glibc's allocator that retain freed memory for later allocations.

XLA allocates its arrays again at every step. By default glibc returns large blocks to the system at
once, and the kernel clears their pages again, 4 KiB at a time. With these settings the heaps retain
freed memory. Blocks above 64 MiB, the heap size of a thread, are still returned, but come back in
huge pages. One heap for all threads (`arena_max=1`) would retain those too, but grows from step to
step.

glibc reads its settings when a process starts, so the program replaces itself with a new process.
"""

import os
import platform
import sys
from collections.abc import Mapping
from typing import NoReturn

from flax_vision.runtime.terminal import warn

ALLOCATOR = "FLAX_VISION_ALLOCATOR"
"""Environment variable that selects one of `ALLOCATORS`."""

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
    """Returns whether the program must start again to use the settings."""
    # Existing tunables are the user's own, or ours after the restart.
    wanted = environment.get(ALLOCATOR, "")
    return wanted != "system" and TUNABLES not in environment and _is_glibc()


def restart(environment: Mapping[str, str]) -> NoReturn:
    """Starts the program again with the settings."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    program = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, program, {**environment, TUNABLES: KEEP})


def check(environment: Mapping[str, str]) -> None:
    """Warns of an invalid or unavailable setting."""
    wanted = environment.get(ALLOCATOR, "")
    if wanted not in ("", *ALLOCATORS):
        allowed = " or ".join(ALLOCATORS)
        warn(f"{ALLOCATOR} is {wanted!r}; it must be {allowed}, so it is ignored")
    elif wanted == "keep" and not _is_glibc():
        warn(f"{ALLOCATOR} is 'keep', which takes glibc, and {platform.platform()} has none")
    elif wanted == "keep" and environment.get(TUNABLES, KEEP) != KEEP:
        warn(f"{ALLOCATOR} is 'keep', but {TUNABLES} has settings already, which stand")


def describe() -> str:
    """Returns a description of the allocator's settings in this process."""
    return ALLOCATORS["keep" if os.environ.get(TUNABLES) == KEEP else "system"]


def _is_glibc() -> bool:
    return platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"
