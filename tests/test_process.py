import platform
import subprocess
import sys

import jax
import jaxlib
import pytest
from run_program import run_program

from flax_vision import process, processor
from flax_vision.errors import UserError

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


YNNPACK = "--xla_cpu_experimental_ynn_fusion_type=individual_convolution"
DROPPED = "--xla_disable_hlo_passes=none"
BOTH = f"{process.EIGEN} {process.BARRIERS}"


@pytest.mark.parametrize(
    ("machine", "version", "plugins", "platforms", "flags", "expected"),
    [
        ("x86_64", "0.10.2", [], None, None, BOTH),
        ("x86_64", "0.10.2", [], None, '--xla_a="b  c"', f'--xla_a="b  c" {BOTH}'),
        ("x86_64", "0.10.2", [], None, YNNPACK, f"{YNNPACK} {process.BARRIERS}"),
        ("x86_64", "0.10.2", [], None, DROPPED, f"{DROPPED} {process.EIGEN}"),
        ("x86_64", "0.10.2", [], None, "flags.txt", "flags.txt"),
        ("x86_64", "0.10.2", ["cuda"], None, None, process.EIGEN),
        ("x86_64", "0.10.2", ["cuda"], "cpu", None, BOTH),
        ("x86_64", "0.10.2", [], "tpu,cpu", None, process.EIGEN),
        ("x86_64", "0.11.0", [], None, None, None),
        ("arm64", "0.10.2", [], None, None, process.BARRIERS),
        ("arm64", "0.10.2", ["cuda"], None, None, None),
    ],
)
def test_flags_of_xla(machine, version, plugins, platforms, flags, expected, monkeypatch):
    """Where they are known to make it faster, and to be known to it; what a user says stands."""
    monkeypatch.setattr(process.platform, "machine", lambda: machine)
    monkeypatch.setattr(process.metadata, "version", lambda name: version)
    monkeypatch.setattr(process.metadata, "entry_points", lambda group: plugins)
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None)
    given = {"XLA_FLAGS": flags, "JAX_PLATFORMS": platforms}
    environment = {key: value for key, value in given.items() if value is not None}
    process._settle_flags(environment)
    assert environment.get("XLA_FLAGS") == expected


@pytest.mark.parametrize(
    ("package", "expected"), [("numpy", True), ("libtpu", False), ("jax_plugins", False)]
)
def test_devices_that_have_no_entry_point(package, expected, monkeypatch):
    monkeypatch.setattr(process.metadata, "entry_points", lambda group: [])
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: name == package)
    assert process._has_cpus_alone({}) == expected


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not jaxlib.__version__.startswith(process._KNOWN),
    reason="YNNPACK is left out on x86-64, of the jaxlib that is known to have it",
)
def test_convolutions_are_left_to_eigen(tmp_path):
    program = """
import jax, jax.numpy as jnp
numbers = ("NHWC", "HWIO", "NHWC")
convolve = lambda x, kernel: jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
compiled = jax.jit(convolve).lower(jnp.ones((8, 32, 32, 32)), jnp.ones((3, 3, 32, 32))).compile()
print("__ynn_" in compiled.as_text())
"""
    outputs = [run_flagged(program, flags, tmp_path) for flags in ("", YNNPACK)]
    assert outputs == ["False\n", "True\n"]


@pytest.mark.skipif(
    not jaxlib.__version__.startswith(process._KNOWN), reason="known of this jaxlib alone"
)
def test_barriers_are_heeded(tmp_path):
    """What is before one is not computed by what is after it."""
    program = """
import jax, jax.numpy as jnp
@jax.jit
def between(x):
    y = jax.lax.optimization_barrier(jnp.tanh(x))
    return y[:-1] + y[1:]
text = between.lower(jnp.ones(64)).compile().as_text()
print(any("tanh(" in part and "slice(" in part for part in text.split("\\n}")))
print(between(jnp.ones(64)).shape)
"""
    outputs = [run_flagged(program, flags, tmp_path) for flags in ("", DROPPED)]
    assert outputs == ["False\n(63,)\n", "True\n(63,)\n"]


def run_flagged(program, flags, cache):
    """Returns what a program prints that has settled its process."""
    prepared = f"from flax_vision import process\nprocess.prepare()\n{program}"
    return run_program(prepared, XDG_CACHE_HOME=str(cache), XLA_FLAGS=flags)[0]


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


@pytest.mark.parametrize("name", ["JAX_PLATFORMS", "JAX_PLATFORM_NAME"])
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (RuntimeError("No backend 'cuda'. (set JAX_PLATFORMS='' to)"), "No backend 'cuda'"),
        (AssertionError(), "no plugin, or no hardware, for it"),
    ],
)
def test_devices_that_jax_does_not_find(name, failure, reason, monkeypatch):
    def find_none():
        raise failure

    monkeypatch.setattr(jax, "devices", find_none)
    process.check_platforms()  # JAX_PLATFORMS is cpu
    monkeypatch.setenv(name, "cuda")
    with pytest.raises(UserError) as error:
        process.check_platforms()
    assert str(error.value) == (
        f"{name} is 'cuda', and JAX finds no such device ({reason}); set it to cpu, or unset it "
        "for the best device there is."
    )
