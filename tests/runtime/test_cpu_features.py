import os
from pathlib import Path

import pytest

from flax_vision.runtime import cpu_features


@pytest.fixture
def flags():
    cpu_features.flags.cache_clear()
    yield cpu_features.flags
    cpu_features.flags.cache_clear()


def test_flags_of_linux(flags, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setattr(Path, "read_text", lambda self: "model: 1\nflags\t\t: fpu sse2\nother: 1\n")
    assert flags() == "flags\t\t: fpu sse2"


def test_flags_elsewhere(flags, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: False)
    monkeypatch.setattr(cpu_features.platform, "processor", lambda: "arm")
    assert flags() == "arm"


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """Sets 16 cores, and returns a function that writes the files of control groups."""
    monkeypatch.setattr(cpu_features, "_affinity_cores", lambda: 16)
    monkeypatch.setattr(cpu_features, "_CGROUPS", str(tmp_path))

    def write(membership, **files):
        monkeypatch.setattr(cpu_features, "_MEMBERSHIP", tmp_path / "membership")
        (tmp_path / "membership").write_text(membership)
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_cores_without_a_quota(cgroups):
    cgroups("0::/\n", **{"cpu.max": "max 100000\n"})
    assert cpu_features.usable_cores() == 16


@pytest.mark.parametrize(("quota", "cores"), [("200000", 2), ("150000", 2), ("10000", 1)])
def test_cores_of_a_quota(quota, cores, cgroups):
    cgroups("0::/a/b\n", **{"a/b/cpu.max": f"{quota} 100000\n", "a/cpu.max": "max 100000\n"})
    assert cpu_features.usable_cores() == cores


def test_cores_of_the_smallest_quota_of_a_group_and_its_parents(cgroups):
    files = {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "300000 100000\n"}
    cgroups("0::/a/b\n", **files)
    assert cpu_features.usable_cores() == 3


@pytest.mark.parametrize("folder", ["docker/1", "."])
def test_cores_of_a_quota_of_the_first_version(folder, cgroups):
    """A container may see the path of its group on the host."""
    names = {"cpu.cfs_quota_us": "250000\n", "cpu.cfs_period_us": "100000\n"}
    files = {f"cpu,cpuacct/{folder}/{name}": text for name, text in names.items()}
    cgroups("3:cpuset:/x\n2:cpu,cpuacct:/docker/1\n0::/\n", **files)
    assert cpu_features.usable_cores() == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is set on Linux")
def test_cores_of_the_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cpu_features.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
