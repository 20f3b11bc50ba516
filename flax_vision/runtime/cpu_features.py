"""Features of the processor, and the number of its cores that this process may use."""

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
    """Returns the names of its instruction sets, as Linux lists them; elsewhere its own name."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor()
    text = information.read_text()
    listed = re.search(r"^(flags|Features)\s*:.*$", text, re.MULTILINE)
    return listed[0] if listed else text


def usable_cores() -> int:
    """Returns the number of cores that this process may use, at least 1.

    The process's affinity and the quotas of its control groups (in containers) limit it.
    """
    return max(1, min([_cores_of_affinity(), *map(math.ceil, _quotas())]))


def _cores_of_affinity() -> int:
    if hasattr(os, "process_cpu_count"):  # of Python 3.13
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
    """Yields the folders of this process's control groups for processor time, and their parents."""
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
