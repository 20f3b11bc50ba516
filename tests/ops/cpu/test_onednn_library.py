import ctypes
import errno
import os
import platform
import shutil
import warnings
from importlib import metadata
from pathlib import Path

import platformdirs
import pytest

from flax_vision.ops.cpu import onednn_library

COMPILER = """#!/bin/sh
# Stands for a compiler: what it makes is a copy of what the real one made.
while [ "$1" != -o ]; do shift; done
cp {built} "$2"
"""
unavailable_reason = onednn_library.unavailable_reason.__wrapped__  # without the cache


@pytest.fixture(scope="module")
def built():
    """The handlers as they were built for this session."""
    if onednn_library.unavailable_reason() is not None:
        pytest.skip("there is no oneDNN for this machine")
    (path,) = (platformdirs.user_cache_path("flax_vision")).glob("onednn-*.so")
    return path


@pytest.fixture
def compiler(built, tmp_path, monkeypatch):
    """A quick compiler, and an empty cache directory."""
    script = tmp_path / "compiler"
    script.write_text(COMPILER.format(built=built))
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return script


def has_handlers(library: ctypes.CDLL) -> bool:
    return all(hasattr(library, target) for target in onednn_library.TARGETS)


@pytest.mark.usefixtures("compiler")
def test_compiled_once(monkeypatch):
    assert has_handlers(onednn_library._open())
    monkeypatch.setenv("CXX", "/no/compiler")
    assert has_handlers(onednn_library._open())


@pytest.mark.parametrize("damage", [b"not a library", 3000, -1, 0])
@pytest.mark.usefixtures("compiler")
def test_a_damaged_file_is_replaced(damage, tmp_path):
    """Opening a truncated library would kill the process."""
    onednn_library._open()
    (path,) = tmp_path.glob("cache/flax_vision/onednn-*.so")
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(damage if isinstance(damage, bytes) else whole[:damage])
    with pytest.warns(UserWarning, match="compiled again: it is damaged"):
        assert has_handlers(onednn_library._open())
    assert path.read_bytes() == whole


def test_the_compiler_may_be_a_command(compiler, monkeypatch):
    monkeypatch.setenv("CXX", f"env {compiler}")
    assert has_handlers(onednn_library._open())


def test_an_invalid_setting_is_warned_of(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    monkeypatch.setenv("FLAX_VISION_ONEDNN", "false")
    with pytest.warns(UserWarning, match="FLAX_VISION_ONEDNN is 'false'; it must be 0 or 1"):
        assert unavailable_reason().startswith("oneDNN has no package for ")


@pytest.mark.usefixtures("compiler")
def test_a_missing_cache_directory_is_warned_of(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="compiled again at every start: .*file.*XDG_CACHE_HOME"):
        assert has_handlers(onednn_library._open())


@pytest.mark.usefixtures("compiler")
def test_a_cache_directory_that_cannot_be_written_is_warned_of(monkeypatch):
    def install(built: Path, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(onednn_library.native_build, "install", install)
    with pytest.warns(UserWarning, match="cannot be written .No space left on device"):
        assert has_handlers(onednn_library._open())


@pytest.mark.usefixtures("compiler")
def test_a_file_that_others_can_write_is_not_loaded(tmp_path):
    onednn_library._open()
    (path,) = tmp_path.glob("cache/flax_vision/onednn-*.so")
    path.chmod(0o777)
    with pytest.warns(UserWarning, match="compiled again: it can be written by others"):
        assert has_handlers(onednn_library._open())
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.usefixtures("compiler")
def test_nothing_is_loaded_from_a_directory_that_others_can_write(tmp_path, monkeypatch):
    onednn_library._open()
    (tmp_path / "cache/flax_vision").chmod(0o1777)
    loaded = []
    monkeypatch.setattr(ctypes, "CDLL", loaded.append)
    with pytest.warns(UserWarning, match="nothing is cached.*can be written by others"):
        onednn_library._open()
    assert not any(str(tmp_path / "cache") in path for path in loaded)


def test_without_a_compiler_the_reason_is_given(compiler, monkeypatch):
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(compiler.parent / "nothing"))
    with pytest.warns(UserWarning, match="slower, without oneDNN: there is no C\\+\\+ compiler"):
        reason = unavailable_reason()
    assert reason == "there is no C++ compiler; install g++ or set CXX"


def test_the_compilers_error_is_given(compiler):
    compiler.write_text("#!/bin/sh\necho one >&2; echo 'x.cc:1: error: no such thing' >&2; exit 1")
    with pytest.warns(UserWarning, match="x.cc:1: error: no such thing"):
        assert "failed" in unavailable_reason()


@pytest.mark.usefixtures("compiler")
def test_a_compiler_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "/no/compiler")
    with pytest.warns(UserWarning, match="/no/compiler"):
        assert "/no/compiler" in unavailable_reason()


@pytest.mark.parametrize("package", ["onednn-cpu-gomp", "onednn-devel-cpu-gomp"])
@pytest.mark.usefixtures("compiler")
def test_a_package_that_is_not_installed_is_named(package, monkeypatch):
    files = metadata.files

    def without(name):
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return files(name)

    monkeypatch.setattr(onednn_library.metadata, "files", without)
    with pytest.warns(UserWarning, match=f"{package} is not installed; `pip install {package}`"):
        assert unavailable_reason()


def test_disabling_it_does_not_warn(monkeypatch):
    monkeypatch.setenv("FLAX_VISION_ONEDNN", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert unavailable_reason() == "FLAX_VISION_ONEDNN is 0"


def test_a_machine_without_package_does_not_warn(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert unavailable_reason().startswith("oneDNN has no package for ")


def test_description(monkeypatch):
    reason = onednn_library.unavailable_reason()
    if reason is None:
        assert onednn_library.describe().startswith("convolutions: oneDNN 20")
    monkeypatch.setattr(onednn_library, "unavailable_reason", lambda: "it rains")
    assert onednn_library.describe() == "convolutions: pure JAX (it rains)"


def test_the_sources_are_part_of_the_package():
    files = {path.name for path in onednn_library.SOURCES.iterdir()}
    assert files == {"handlers.cc", "convolution.h", "max_pool.h", "parallel.h"}
    assert os.environ["XDG_CACHE_HOME"]  # of the session: no test writes into the user's own


@pytest.mark.usefixtures("compiler")
def test_a_change_of_any_source_recompiles(tmp_path, monkeypatch):
    onednn_library._open()
    changed = tmp_path / "handlers"
    shutil.copytree(onednn_library.SOURCES, changed)
    (changed / "parallel.h").write_text("changed")
    monkeypatch.setattr(onednn_library, "SOURCES", changed)
    onednn_library._open()
    assert len(list(tmp_path.glob("cache/flax_vision/onednn-*.so"))) == 2
