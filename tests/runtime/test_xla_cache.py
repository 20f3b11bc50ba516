import warnings
from pathlib import Path

import pytest
from run_program import run_program

from flax_vision.runtime import cpu_features, xla_cache

PROGRAM = """
from flax_vision.runtime import environment
environment.configure_process()
import jax
print(jax.config.jax_compilation_cache_dir)
print(environment.describe(), "of at most", jax.config.jax_compilation_cache_max_size, "bytes")
jax.jit(lambda x: x + 1)(1)
"""


def run(**environment):
    return run_program(PROGRAM, **environment)


@pytest.mark.slow
def test_compiled_programs_are_kept_in_the_users_cache_directory(tmp_path):
    output, warnings = run(XDG_CACHE_HOME=str(tmp_path))
    assert output.startswith(str(tmp_path / "flax_vision/xla-"))
    assert f"of at most {2 << 30} bytes" in output
    assert not warnings


@pytest.mark.slow
def test_a_cache_directory_that_cannot_be_written_is_warned_of(tmp_path):
    (tmp_path / "file").touch()
    output, warnings = run(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert "compilation cache: none" in output
    assert warnings == (
        "warning: nothing is cached, so code is compiled again at every start: "
        f"{tmp_path}/file/flax_vision cannot be created (Not a directory); set XDG_CACHE_HOME to a "
        "directory of your own\n"
    )


@pytest.mark.slow
def test_a_cache_directory_of_the_users_is_kept(tmp_path):
    output, _ = run(
        XDG_CACHE_HOME=str(tmp_path),
        JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"),
        FLAX_VISION_ALLOCATOR="system",
    )
    assert str(tmp_path / "mine") in output
    assert not list(tmp_path.glob("flax_vision/xla-*"))


@pytest.mark.slow
def test_a_directory_of_the_users_that_cannot_be_written_is_warned_of(tmp_path):
    (tmp_path / "file").touch()
    output, warnings = run(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "file/mine"))
    assert "compilation cache: none" in output
    assert warnings.count("file/mine cannot be written") == 1
    assert "JAX_COMPILATION_CACHE_DIR" in warnings


def test_a_directory_that_others_can_write_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = xla_cache._default_directory()
    path.mkdir(0o755, parents=True)
    path.chmod(0o777)
    environment = {}
    with pytest.warns(
        UserWarning, match=f"at every start: {path} can be written by others"
    ) as found:
        xla_cache.configure(environment)
    assert len(found) == 1
    assert environment == {"JAX_COMPILATION_CACHE_DIR": ""}


def test_a_bucket_is_left_to_jax():
    environment = {"JAX_COMPILATION_CACHE_DIR": "gs://bucket/cache"}
    xla_cache.configure(environment)
    assert environment == {"JAX_COMPILATION_CACHE_DIR": "gs://bucket/cache"}


@pytest.mark.slow
def test_a_damaged_entry_is_warned_of_once_and_written_anew(tmp_path):
    settings = {
        "XDG_CACHE_HOME": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    run(**settings)
    (entry,) = tmp_path.rglob("*-cache")
    whole = entry.stat().st_size
    entry.write_bytes(entry.read_bytes()[:100])
    _, warnings = run(**settings)
    assert warnings.count("Error reading persistent compilation cache entry") == 1
    assert "Traceback" not in warnings
    assert entry.stat().st_size == pytest.approx(whole, rel=0.1)


def test_only_the_entries_of_a_program_that_cannot_be_read_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", lambda *args: None)
    removed = ["jit_f-0a-cache", "jit_f-0a-atime"]
    kept = ["jit_f-more-0a-cache", "jit_f2-0a-cache", "jit_f-0a-other"]
    for name in removed + kept:
        (tmp_path / name).touch()
    xla_cache._remove_unreadable_entries(tmp_path)
    text = "Error reading persistent compilation cache entry for 'jit_f': error: of zlib"
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(text, stacklevel=1)
    assert {file.name for file in tmp_path.iterdir()} == {*kept}


@pytest.mark.parametrize(("limit", "remains"), [("2000000000", False), ("-1", True)])
def test_an_unfinished_entry_is_removed(limit, remains, tmp_path, monkeypatch):
    """JAX writes the time of use last; without a size limit it writes none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(xla_cache, "_remove_unreadable_entries", lambda path: None)
    environment = {"JAX_COMPILATION_CACHE_MAX_SIZE": limit}
    xla_cache.configure(environment)
    directory = Path(environment["JAX_COMPILATION_CACHE_DIR"])
    for name in ("jit_f-0a-cache", "jit_g-0a-cache", "jit_g-0a-atime"):
        (directory / name).touch()
    xla_cache.configure({"JAX_COMPILATION_CACHE_MAX_SIZE": limit})
    assert (directory / "jit_g-0a-cache").exists()
    assert (directory / "jit_f-0a-cache").exists() == remains


def test_machines_with_other_instructions_have_another_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = xla_cache._default_directory()
    monkeypatch.setattr(cpu_features, "flags", lambda: "flags\t\t: fpu sse2")
    assert xla_cache._default_directory() != here
