import platform
import subprocess

import pytest
from run_program import run_program

from flax_vision.runtime import xla_flags

YNNPACK = "--xla_cpu_experimental_ynn_fusion_type=individual_convolution"
DROPPED = "--xla_disable_hlo_passes=none"
KNOWN = [xla_flags.EIGEN, xla_flags.BARRIERS]
BOTH = " ".join(KNOWN)


@pytest.mark.parametrize(
    ("machine", "known", "plugins", "platforms", "flags", "expected"),
    [
        ("x86_64", KNOWN, [], None, None, BOTH),
        ("x86_64", KNOWN, [], None, '--xla_a="b  c"', f'--xla_a="b  c" {BOTH}'),
        ("x86_64", KNOWN, [], None, YNNPACK, f"{YNNPACK} {xla_flags.BARRIERS}"),
        ("x86_64", KNOWN, [], None, DROPPED, f"{DROPPED} {xla_flags.EIGEN}"),
        ("x86_64", KNOWN, [], None, "flags.txt", "flags.txt"),
        ("x86_64", KNOWN, ["cuda"], None, None, xla_flags.EIGEN),
        ("x86_64", KNOWN, ["cuda"], "cpu", None, BOTH),
        ("x86_64", KNOWN, [], "tpu,cpu", None, xla_flags.EIGEN),
        ("x86_64", [], [], None, None, None),
        ("x86_64", KNOWN[1:], [], None, None, xla_flags.BARRIERS),
        ("arm64", KNOWN, [], None, None, xla_flags.BARRIERS),
        ("arm64", KNOWN, ["cuda"], None, None, None),
    ],
)
def test_flags_of_xla(machine, known, plugins, platforms, flags, expected, monkeypatch):
    """They are set where they help and jaxlib accepts them; the user's own flags stay."""
    monkeypatch.setattr(xla_flags.platform, "machine", lambda: machine)
    monkeypatch.setattr(xla_flags, "_accepts", lambda flags: {*flags} <= {*known})
    monkeypatch.setattr(xla_flags.metadata, "entry_points", lambda group: plugins)
    monkeypatch.setattr(xla_flags.importlib.util, "find_spec", lambda name: None)
    given = {"XLA_FLAGS": flags, "JAX_PLATFORMS": platforms}
    environment = {key: value for key, value in given.items() if value is not None}
    xla_flags.configure(environment)
    assert environment.get("XLA_FLAGS") == expected


@pytest.mark.parametrize(
    ("package", "expected"), [("numpy", True), ("libtpu", False), ("jax_plugins", False)]
)
def test_devices_that_have_no_entry_point(package, expected, monkeypatch):
    monkeypatch.setattr(xla_flags.metadata, "entry_points", lambda group: [])
    monkeypatch.setattr(xla_flags.importlib.util, "find_spec", lambda name: name == package)
    assert xla_flags._has_only_cpus({}) == expected


@pytest.mark.skipif(platform.machine() != "x86_64", reason="YNNPACK is left out on x86-64")
@pytest.mark.slow
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


@pytest.mark.slow
def test_barriers_are_heeded(tmp_path):
    """A barrier remains in the compiled program; nothing is computed again after it."""
    program = """
import jax, jax.numpy as jnp
@jax.jit
def between(x):
    y = jax.lax.optimization_barrier(x * x)
    return y[:-1] + y[1:]
text = between.lower(jnp.ones(64)).compile().as_text()
is_repeated = any("multiply(" in part and "slice(" in part for part in text.split("\\n}"))
print("opt-barrier(" in text and not is_repeated)
print(between(jnp.ones(64)).shape)
"""
    outputs = [run_flagged(program, flags, tmp_path) for flags in ("", DROPPED)]
    assert outputs == ["True\n(63,)\n", "False\n(63,)\n"]


def run_flagged(program, flags, cache):
    """Returns the output of a program that configures its process."""
    prepared = (
        f"from flax_vision.runtime import environment\nenvironment.configure_process()\n{program}"
    )
    return run_program(prepared, XDG_CACHE_HOME=str(cache), XLA_FLAGS=flags)[0]


UNKNOWN = "--xla_flag_of_another_version=1"


@pytest.mark.slow
def test_a_jaxlib_is_asked_which_flags_it_takes_and_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        assert xla_flags.accepted([xla_flags.BARRIERS, UNKNOWN]) == [xla_flags.BARRIERS]
        monkeypatch.setattr(xla_flags, "_compiles", pytest.fail)
    monkeypatch.setattr(xla_flags, "_compiles", lambda flags: not flags)
    monkeypatch.setattr(xla_flags.metadata, "version", lambda name: "1.0")
    assert xla_flags.accepted([xla_flags.BARRIERS]) == []


@pytest.mark.slow
def test_barriers_are_heeded_in_small_loops(tmp_path):
    """XLA would compile a small loop into one function, in which it has no barriers."""
    program = """
import jax, jax.numpy as jnp
step = jax.checkpoint(lambda c, x: (jnp.sin(c) * x, None))
total = lambda x: jax.lax.scan(step, x, jnp.ones((5, 1)))[0].sum()
loop = lambda x: jax.lax.fori_loop(0, 3, lambda i, c: jax.lax.optimization_barrier(c), (x, x))[0]
print(jax.jit(jax.grad(lambda x: total(loop(x))))(jnp.zeros(8)).tolist())
"""
    assert run_flagged(program, "", tmp_path) == f"{[1.0] * 8}\n"


@pytest.mark.parametrize("failure", [OSError, subprocess.TimeoutExpired("python", 60), None])
def test_a_jaxlib_that_does_not_answer_is_asked_again(failure, tmp_path, monkeypatch):
    """It fails without flags too, as with a wrong setting in the environment."""

    def fail(flags):
        if failure:
            raise failure
        return False

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(xla_flags, "_compiles", fail)
    assert xla_flags.accepted([xla_flags.BARRIERS]) == []
    monkeypatch.setattr(xla_flags, "_compiles", lambda flags: True)
    assert xla_flags.accepted([xla_flags.BARRIERS]) == [xla_flags.BARRIERS]
