import pytest
from run_program import run_program

from flax_vision.runtime import allocator, native_build

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
glibc = pytest.mark.skipif(not allocator._is_glibc(), reason="only glibc has such settings")


def run(program=PROGRAM, **environment):
    return run_program(program, "a", "b c", **environment)


@glibc
def test_the_program_starts_again_with_its_settings_and_arguments():
    output, warnings = run()
    assert output.startswith("['a', 'b c'] glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=")
    assert "freed memory: kept, in huge pages" in output
    assert not warnings


@glibc
def test_a_step_takes_the_memory_of_the_last_again():
    """Of an array of 64 MiB, whose pages are otherwise faulted in at each of eight steps."""
    kept, _ = run(FAULTS)
    system, _ = run(FAULTS, FLAX_VISION_ALLOCATOR="system")
    assert int(kept) < int(system) / 2


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


@glibc
@pytest.mark.parametrize(
    ("compiler", "reason"), [('"', "which is no command"), ("{}", "cannot be started")]
)
def test_a_compiler_that_is_none_is_named(compiler, reason, tmp_path):
    (tmp_path / "program").write_text("no program")
    (tmp_path / "program").chmod(0o755)
    settings = {"CXX": compiler.format(tmp_path / "program"), "XDG_CACHE_HOME": str(tmp_path)}
    _, warnings = run(**settings, FLAX_VISION_ALLOCATOR="keep")
    assert reason in warnings
    assert "Traceback" not in warnings


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


@glibc
def test_without_a_compiler_large_blocks_are_left_to_glibc(tmp_path):
    settings = {"CXX": "/no/compiler", "XDG_CACHE_HOME": str(tmp_path)}
    output, warnings = run(**settings)
    assert "but for large blocks (FLAX_VISION_ALLOCATOR=keep says why)" in output
    assert not warnings
    _, warnings = run(**settings, FLAX_VISION_ALLOCATOR="keep")
    assert warnings == (
        "warning: large blocks of freed memory are not kept: CXX is '/no/compiler', which is no "
        "program; install g++ or set CXX\n"
    )


@glibc
def test_without_a_cache_directory_the_library_is_private_and_its_file_has_no_name(tmp_path):
    """It ends with the program, however that ends; until then its children have it too."""
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    program = f"""{PROGRAM}
import subprocess, sys
print(os.listdir(os.environ["TMPDIR"]))
child = "print('/kept-memory-' in open('/proc/self/maps').read())"
print(subprocess.check_output([sys.executable, "-c", child], text=True), flush=True)
os._exit(0)
"""
    own = {"XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "tmp")}
    output, warnings = run(program, **own)
    assert "freed memory: kept, in huge pages" in output
    assert output.endswith("\n[]\nTrue\n\n")
    assert warnings.count("warning: ") == warnings.count("warning: nothing is cached") == 1
    assert "ld.so" not in warnings
    assert not list((tmp_path / "tmp").iterdir())


@glibc
def test_a_library_that_others_can_write_is_compiled_anew(tmp_path):
    settings = {"XDG_CACHE_HOME": str(tmp_path)}
    run(**settings)
    (path,) = tmp_path.glob("flax_vision/kept-memory-*.so")
    path.chmod(0o666)
    output, _ = run(**settings)
    assert "freed memory: kept, in huge pages" in output
    assert path.stat().st_mode & 0o777 == 0o755


@glibc
def test_a_cache_directory_with_a_space_is_named(tmp_path):
    """What is preloaded is a list, divided by spaces and colons."""
    settings = {"XDG_CACHE_HOME": str(tmp_path / "a b"), "FLAX_VISION_ALLOCATOR": "keep"}
    output, warnings = run(**settings)
    assert "but for large blocks" in output
    assert "LD_PRELOAD cannot name " in warnings
    assert "a b/flax_vision/kept-memory" in warnings


@glibc
def test_libraries_that_are_preloaded_already_stay_alone(tmp_path):
    other = tmp_path / "other.so"
    native_build.compile_library(b"", [], other)
    output, _ = run(LD_PRELOAD=str(other))
    assert "but for large blocks" in output
    _, warnings = run(LD_PRELOAD=str(other), FLAX_VISION_ALLOCATOR="keep")
    assert f"LD_PRELOAD is '{other}'" in warnings


@glibc
def test_a_damaged_library_is_compiled_anew(tmp_path):
    """By something else, or cut, which would kill the program."""
    run(XDG_CACHE_HOME=str(tmp_path))
    (path,) = tmp_path.glob("flax_vision/kept-memory-*.so")
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    output, _ = run(XDG_CACHE_HOME=str(tmp_path))
    assert "freed memory: kept, in huge pages" in output
    assert path.read_bytes() == whole
