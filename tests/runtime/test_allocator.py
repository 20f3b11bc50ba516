from pathlib import Path

import pytest
from run_program import run_program

from flax_vision.runtime import allocator

PROGRAM = """
import os, sys
from flax_vision.runtime import environment
environment.configure_process()
print(sys.argv[1:], os.environ.get("GLIBC_TUNABLES"))
print(environment.describe())
"""
FAULTS = """
from flax_vision.runtime import environment
environment.configure_process()
import resource, jax, jax.numpy as jnp
step = jax.jit(lambda x: jax.lax.fori_loop(0, 2, lambda _, y: y * x, x).sum())
x = jnp.ones(16 << 20)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        jax.block_until_ready(step(x))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
glibc = pytest.mark.skipif(not allocator._is_glibc(), reason="only glibc has such settings")


def has_huge_pages():
    return HUGE_PAGES.exists() and "[never]" not in HUGE_PAGES.read_text()


def run(program=PROGRAM, **environment):
    return run_program(program, "a", "b c", **environment)


@pytest.mark.slow
@glibc
def test_the_program_starts_again_with_its_settings_and_arguments():
    output, warnings = run()
    assert output.startswith("['a', 'b c'] glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=")
    assert "freed memory: kept by glibc, in huge pages" in output
    assert not warnings


@pytest.mark.slow
@glibc
@pytest.mark.skipif(not has_huge_pages(), reason="the kernel gives no huge pages")
def test_a_step_faults_in_fewer_pages():
    """Of an array of 64 MiB, each of eight steps otherwise faults in every 4 KiB."""
    kept, _ = run(FAULTS)
    system, _ = run(FAULTS, FLAX_VISION_ALLOCATOR="system")
    assert int(kept) < int(system) / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"FLAX_VISION_ALLOCATOR": "system"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}],
)
def test_the_allocator_can_be_left_alone(settings):
    output, warnings = run(**settings)
    assert f"] {settings.get('GLIBC_TUNABLES')}\n" in output
    assert "as the system's allocator does" in output
    assert not warnings


@glibc
def test_settings_of_the_users_stand():
    _, warnings = run(FLAX_VISION_ALLOCATOR="keep", GLIBC_TUNABLES="glibc.malloc.arena_max=2")
    assert "GLIBC_TUNABLES has settings already, which stand" in warnings


def test_an_unknown_allocator_is_warned_of():
    _, warnings = run(FLAX_VISION_ALLOCATOR="fast")
    assert warnings == (
        "warning: FLAX_VISION_ALLOCATOR is 'fast'; it must be keep or system, so it is ignored\n"
    )


def test_an_allocator_that_the_platform_does_not_have_is_warned_of(monkeypatch, recwarn):
    monkeypatch.setattr(allocator, "_is_glibc", lambda: False)
    assert not allocator.needs_restart({"FLAX_VISION_ALLOCATOR": "keep"})
    with pytest.warns(UserWarning, match="takes glibc"):
        allocator.check({"FLAX_VISION_ALLOCATOR": "keep"})
    allocator.check({})
    assert not recwarn
