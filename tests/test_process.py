import os
import platform
import subprocess
import sys

import jax
import jaxlib
import pytest

from flax_vision import process, processor

PROGRAM = """
import os, sys
from flax_vision import process
process.prepare()
import jax
print(sys.argv[1:], os.environ.get("GLIBC_TUNABLES"), jax.config.jax_compilation_cache_dir)
print(process.describe(), "of at most", jax.config.jax_compilation_cache_max_size, "bytes")
jax.jit(lambda x: x + 1)(1)
"""
glibc = pytest.mark.skipif(not process._is_glibc(), reason="only glibc has such settings")


def run(**environment):
    """Runs a program that prepares its process; returns what it printed, and what it warned of."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("JAX_", "GLIBC_", "FLAX_VISION_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "a", "b c"],
        env={**inherited, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


@glibc
def test_the_program_starts_again_with_its_settings_and_arguments(tmp_path):
    output, warnings = run(XDG_CACHE_HOME=str(tmp_path))
    assert output.startswith("['a', 'b c'] glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=")
    assert "kept by glibc" in output
    assert str(tmp_path / "flax_vision/xla-") in output
    assert f"of at most {2 << 30} bytes" in output
    assert not warnings


@pytest.mark.parametrize(
    "settings",
    [{"FLAX_VISION_ALLOCATOR": "system"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}],
)
def test_the_allocator_can_be_left_alone(settings, tmp_path):
    output, warnings = run(XDG_CACHE_HOME=str(tmp_path), **settings)
    assert f"] {settings.get('GLIBC_TUNABLES')} " in output
    assert "as the system's allocator does" in output
    assert not warnings


def test_an_unknown_allocator_is_warned_of(tmp_path):
    _, warnings = run(XDG_CACHE_HOME=str(tmp_path), FLAX_VISION_ALLOCATOR="fast")
    assert warnings == (
        "warning: FLAX_VISION_ALLOCATOR is 'fast'; it must be keep or system, so it is ignored\n"
    )


def test_an_allocator_that_the_platform_does_not_have_is_warned_of(monkeypatch, capsys):
    monkeypatch.setattr(process, "_is_glibc", lambda: False)
    process._settle_allocator({"FLAX_VISION_ALLOCATOR": "keep"})
    assert "takes glibc" in capsys.readouterr().err
    process._settle_allocator({})
    assert not capsys.readouterr().err


YNNPACK = "--xla_cpu_experimental_ynn_fusion_type=individual_convolution"


@pytest.mark.parametrize(
    ("machine", "version", "flags", "expected"),
    [
        ("x86_64", "0.10.2", None, process.EIGEN),
        ("x86_64", "0.10.2", "--xla_a=1", f"--xla_a=1 {process.EIGEN}"),
        ("x86_64", "0.10.2", YNNPACK, YNNPACK),
        ("x86_64", "0.11.0", None, None),
        ("arm64", "0.10.2", None, None),
    ],
)
def test_convolutions_are_left_to_eigen(machine, version, flags, expected, monkeypatch):
    """Where that is known to be faster, and XLA to know the flag; what a user says stands."""
    monkeypatch.setattr(process.platform, "machine", lambda: machine)
    monkeypatch.setattr(process.metadata, "version", lambda name: version)
    environment = {} if flags is None else {"XLA_FLAGS": flags}
    process._settle_convolutions(environment)
    assert environment.get("XLA_FLAGS") == expected


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not jaxlib.__version__.startswith(process._KNOWS_EIGEN),
    reason="YNNPACK is left out on x86-64, of the jaxlib that is known to have it",
)
def test_xla_obeys(tmp_path):
    program = """
from flax_vision import process
process.prepare()
import jax, jax.numpy as jnp
numbers = ("NHWC", "HWIO", "NHWC")
convolve = lambda x, kernel: jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
compiled = jax.jit(convolve).lower(jnp.ones((8, 32, 32, 32)), jnp.ones((3, 3, 32, 32))).compile()
print("__ynn_" in compiled.as_text())
"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "XLA_FLAGS": flags},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for flags in ("", YNNPACK)
    ]
    assert outputs == ["False\n", "True\n"]


def test_a_cache_directory_that_cannot_be_written_is_warned_of(tmp_path):
    (tmp_path / "file").touch()
    output, warnings = run(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert "compilation cache: none" in output
    assert warnings.count("warning: programs are compiled anew at every start") == 1
    assert "XDG_CACHE_HOME" in warnings


def test_a_cache_directory_of_the_users_is_kept(tmp_path):
    output, _ = run(XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
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
    process._settle_cache(environment)
    assert environment == {"JAX_COMPILATION_CACHE_DIR": "gs://bucket/cache"}


@pytest.mark.parametrize(
    ("before", "devices"),
    [("import jax", len(jax.devices())), ("import flax_vision.cli", 3)],
)
def test_devices_are_emulated_unless_jax_is_there_already(before, devices):
    program = (
        f"{before}\nfrom flax_vision import process; process.emulate_devices(3)\n"
        "import jax; print(len(jax.devices()), jax.default_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{devices} cpu\n"


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
    here = process._instructions()
    monkeypatch.setattr(processor, "flags", lambda: "flags\t\t: fpu sse2")
    assert process._instructions() != here
