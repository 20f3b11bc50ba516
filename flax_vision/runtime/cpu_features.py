"""Features of the processor, and the number of cores that this process may use."""

import math
import os
import platform
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_CGROUPS = "/sys/fs/cgroup"
_MEMBERSHIP = Path("/proc/self/cgroup")


@cache
def flags() -> str:
    """Returns the processor's instruction sets as Linux lists them; elsewhere its name."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor()
    text = cpuinfo.read_text()
    found = re.search(r"^(flags|Features)\s*:.*$", text, re.MULTILINE)
    return found[0] if found else text


def usable_cores() -> int:
    """Returns the number of cores that this process may use, at least 1.

    The process's affinity and the quotas of its control groups (in containers) limit it.
    """
    return max(1, min([_affinity_cores(), *map(math.ceil, _quotas())]))


def _affinity_cores() -> int:
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        count: int | None = os.process_cpu_count()
        return count or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Yields the quota of processor time of each control group, in cores."""
    for folder in _control_groups():
        try:
            if (folder / "cpu.max").exists():  # version 2
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
        except (OSError, ValueError):
            continue
        if quota != "max" and int(quota) > 0:
            yield int(quota) / int(period)


def _control_groups() -> Iterator[Path]:
    """Yields the directories of this process's CPU control groups, and their parents."""
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" or "cpu" in controllers.split(","):
            root = Path(_CGROUPS, controllers)
            group = root / path.lstrip("/")
            # In a container the path may be the host's, but the root is the container's.
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(root))
