"""Programs that configure their process: which of them start again, and how others warn."""

import os
import subprocess
import sys

import pytest

from flax_vision.runtime import allocator, restart

PROGRAM = """
from flax_vision.runtime import environment
environment.configure_process()
import os
print("again" if "GLIBC_TUNABLES" in os.environ else "goes on")
"""
pytestmark = pytest.mark.skipif(not allocator._is_glibc(), reason="others never start again")


def run(*arguments, text=None, cwd=None, **environment):
    """Returns the output and the warnings of a program."""
    others = ("JAX_", "GLIBC_", "LD_", "FLAX_VISION_")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**inherited, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "flags.txt", **environment},
        cwd=cwd,
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_a_file_a_command_and_a_module_start_again(script):
    assert run(str(script)) == ("again\n", "")
    assert run("-c", PROGRAM) == ("again\n", "")
    assert run("-m", "program", cwd=script.parent) == ("again\n", "")


@pytest.mark.parametrize("arguments", [["program.py"], ["-m", "program"], ["folder"]])
def test_a_program_that_its_command_no_longer_finds_continues(arguments, script):
    program = f"import os; os.chdir('/')\n{PROGRAM}"
    script.write_text(program)
    (script.parent / "folder").mkdir()
    (script.parent / "folder/__main__.py").write_text(program)
    output, warnings = run(*arguments, cwd=script.parent)
    assert output == "goes on\n"
    assert "the current directory was changed before" in warnings


def test_a_program_that_its_command_still_finds_starts_again(script, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/__main__.py").write_text(PROGRAM)
    assert run("folder", cwd=tmp_path) == ("again\n", "")
    (tmp_path / "link.py").symlink_to(script)
    assert run("-u", "link.py", "x", cwd=tmp_path) == ("again\n", "")
    script.write_text(f"import os; os.chdir('/')\n{PROGRAM}")
    assert run(str(script)) == ("again\n", "")
    elsewhere = {"PYTHONPATH": str(tmp_path), "cwd": tmp_path / "folder"}
    assert run("-m", "program", **elsewhere) == ("again\n", "")


def test_a_program_may_call_it_through_a_library():
    calls = "import re; re.sub('a', lambda match: str(environment.configure_process()), 'a')"
    assert run("-c", PROGRAM.replace("environment.configure_process()", calls)) == ("again\n", "")


def test_what_was_printed_before_is_not_lost():
    assert run("-c", f"print('first')\n{PROGRAM}")[0] == "first\nfirst\nagain\n"


@pytest.mark.parametrize(
    ("arguments", "text", "reason"),
    [
        (["-"], PROGRAM, "not started from a file"),
        ([], PROGRAM, "not started from a file"),
        (["/dev/stdin"], PROGRAM, "not started from a file"),
        (["-i", "-c", PROGRAM], "", "this session is interactive"),
        (["-c", f"import sys; sys.ps1 = '> '\n{PROGRAM}"], None, "this session is interactive"),
        (["-c", f"import builtins; builtins.__IPYTHON__ = True\n{PROGRAM}"], None, "interactive"),
        (["-m", "pdb", "-c", "continue", "program.py"], "q\n", "not started from a file"),
        (["-c", f"exec({PROGRAM!r}, {{'__name__': '__main__'}})"], None, "main module does not"),
        (["-c", "import program"], None, "main module does not call it itself"),
    ],
)
def test_others_continue_and_warn_once(arguments, text, reason, script):
    output, warnings = run(*arguments, text=text, cwd=script.parent)
    assert output.startswith("goes on\n")
    assert warnings.count("the allocator is not configured: ") == 1
    assert reason in warnings


@pytest.mark.parametrize("session", [True, False])
def test_session_keeps_its_way_to_show_warnings(session):
    program = f"""
import sys, warnings
if {session}: sys.ps1 = "> "
own = warnings.formatwarning, warnings.showwarning
{PROGRAM}
print((warnings.formatwarning, warnings.showwarning) == own)
"""
    output, _ = run("-c", program, GLIBC_TUNABLES="")
    assert output == f"again\n{session}\n"


def test_variables_of_a_session_remain():
    lines = [
        "kept = 'variable'",
        *PROGRAM.strip().splitlines(),
        "environment.configure_process()",
        "print(kept)",
    ]
    output, warnings = run("-i", text="\n".join(lines))
    assert output == "goes on\nvariable\n"
    assert warnings.count("is not configured") == 1


def test_a_thread_is_not_lost():
    program = f"import threading\nlock = threading.Event()\n{{}}\n{PROGRAM}\nlock.set()"
    output, warnings = run("-c", program.format("threading.Thread(target=lock.wait).start()"))
    assert output == "goes on\n"
    assert "this program has other threads or processes" in warnings


@pytest.mark.slow
def test_only_the_allocator_stays_after_jax_is_imported(tmp_path):
    after = "import os; print(os.environ['XLA_FLAGS'], jax.config.jax_compilation_cache_dir)\n"
    program = f"import jax\n{PROGRAM}\n{after}"
    output, warnings = run("-c", program, XDG_CACHE_HOME=str(tmp_path), XLA_FLAGS="")
    assert "cse_barrier_expander" in output
    assert f"{tmp_path}/flax_vision/xla-" in output
    assert warnings == "warning: the allocator is not configured: JAX was imported before\n"


@pytest.mark.slow
def test_nothing_is_configured_after_jax_has_started():
    output, warnings = run("-c", f"import jax; jax.devices()\n{PROGRAM}", XLA_FLAGS="")
    assert output == "goes on\n"
    assert warnings == (
        "warning: the allocator, XLA's flags and compilation cache are not configured: "
        "JAX was imported before\n"
    )


def test_process_of_the_tests_is_not_replaced():
    assert restart.obstacle() is not None
