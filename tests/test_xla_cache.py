from run_program import run_program

from flax_vision import processor, xla_cache

PROGRAM = """
from flax_vision import process
process.prepare()
import jax
print(jax.config.jax_compilation_cache_dir)
print(process.describe(), "of at most", jax.config.jax_compilation_cache_max_size, "bytes")
jax.jit(lambda x: x + 1)(1)
"""


def run(**environment):
    return run_program(PROGRAM, **environment)


def test_compiled_programs_are_kept_in_the_users_cache_directory(tmp_path):
    output, warnings = run(XDG_CACHE_HOME=str(tmp_path))
    assert output.startswith(str(tmp_path / "flax_vision/xla-"))
    assert f"of at most {2 << 30} bytes" in output
    assert not warnings


def test_a_cache_directory_that_cannot_be_written_is_warned_of(tmp_path):
    (tmp_path / "file").touch()
    output, warnings = run(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert "compilation cache: none" in output
    assert warnings.count("warning: programs are compiled anew at every start") == 1
    assert "XDG_CACHE_HOME" in warnings


def test_a_cache_directory_of_the_users_is_kept(tmp_path):
    output, _ = run(
        XDG_CACHE_HOME=str(tmp_path),
        JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"),
        FLAX_VISION_ALLOCATOR="system",
    )
    assert str(tmp_path / "mine") in output
    assert not (tmp_path / "flax_vision").exists()


def test_a_directory_of_the_users_that_cannot_be_written_is_warned_of(tmp_path):
    (tmp_path / "file").touch()
    output, warnings = run(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "file/mine"))
    assert "compilation cache: none" in output
    assert warnings.count("file/mine cannot be written") == 1
    assert "JAX_COMPILATION_CACHE_DIR" in warnings


def test_a_bucket_is_left_to_jax():
    environment = {"JAX_COMPILATION_CACHE_DIR": "gs://bucket/cache"}
    xla_cache.settle(environment)
    assert environment == {"JAX_COMPILATION_CACHE_DIR": "gs://bucket/cache"}


def test_a_damaged_entry_is_warned_of_once(tmp_path):
    settings = {
        "XDG_CACHE_HOME": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    run(**settings)
    (entry,) = tmp_path.rglob("*-cache")
    entry.write_bytes(entry.read_bytes()[:100])
    _, warnings = run(**settings)
    assert warnings.count("Error reading persistent compilation cache entry") == 1
    assert "Traceback" not in warnings


def test_machines_with_other_instructions_have_another_cache(monkeypatch):
    here = xla_cache._instructions()
    monkeypatch.setattr(processor, "flags", lambda: "flags\t\t: fpu sse2")
    assert xla_cache._instructions() != here
