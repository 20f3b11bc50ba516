import os
import shlex
import signal
import subprocess
import sys

import jax
import pytest
from run_program import run_program

from flax_vision.errors import UserError
from flax_vision.runtime import allocator, environment, restart

DAMAGED = """
import io
from PIL import Image
from flax_vision.runtime import environment
environment.configure_process()
from flax_vision.data.decode import read_header
exif = Image.Exif()
exif[0x112], exif[0x10e] = 6, "x" * 50
file = io.BytesIO()
Image.new("RGB", (8, 6)).save(file, "JPEG", exif=exif.tobytes()[:-40])
print(read_header(file))
"""


def test_warnings_of_pillow_without_a_file_name_are_hidden():
    output, warnings = run_program(DAMAGED)
    assert output.strip() in ("(6, 8)", "(8, 6)")  # by the version of Pillow
    assert "Tag data" not in warnings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "devices"),
    [("import jax", len(jax.devices())), ("import flax_vision.cli.main", 3)],
)
def test_devices_are_emulated_unless_jax_is_imported(before, devices):
    program = (
        f"{before}\nfrom flax_vision.runtime import environment; environment.emulate_devices(3)\n"
        "import jax; print(len(jax.devices()), jax.default_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{devices} cpu\n"


COMMAND = """
import importlib, sys
starts = {"os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen"}
sys.addaudithook(lambda event, args: event in starts and print("starts:", event, flush=True))
try:
    importlib.import_module(sys.argv.pop(1)).main()
except SystemExit:
    pass
"""


def starts(module, arguments, cache):
    """Returns a line for each process that a command starts, a restart of itself included."""
    output, _ = run_program(COMMAND, module, *shlex.split(arguments), XDG_CACHE_HOME=str(cache))
    return [line for line in output.splitlines() if line.startswith("starts: ")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("flax_vision.cli.main", "--help"),
        ("flax_vision.cli.main", "bench --help"),
        ("flax_vision.cli.main", "compare --help"),
        ("flax_vision.cli.main", "train --help"),
        ("flax_vision.cli.main", "train --config=lenet5 surplus"),
        ("flax_vision.cli.main", "models"),
        ("flax_vision.cli.main", "summary lenet5"),
        ("flax_vision.cli.train", "--help"),
        ("flax_vision.cli.train", "--config=configs/lenet5.py surplus"),
    ],
)
def test_commands_without_computation_start_no_process(module, arguments, tmp_path):
    assert starts(module, arguments, tmp_path) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("flax_vision.cli.main", "--help"),
        ("flax_vision.cli.main", "compare --help"),
        ("flax_vision.cli.main", "evaluate --help"),
        ("flax_vision.cli.main", "models"),
        ("flax_vision.cli.main", "train --help schedule.lr"),
        ("flax_vision.cli.train", "--help"),
    ],
)
def test_commands_without_a_model_do_not_import_jax(module, arguments):
    output, _ = run_program(f"{COMMAND}print('jax' in sys.modules)", module, *arguments.split())
    assert output.endswith("\nFalse\n")


WARNINGS = """
import warnings
from flax_vision.runtime import environment, terminal
environment.configure_process()
terminal.warn("ours")
warnings.warn("theirs")
"""


def test_own_warnings_of_programs_are_one_line_and_others_keep_their_form():
    _, warnings = run_program(WARNINGS, FLAX_VISION_ALLOCATOR="system")
    # Python 3.13 also prints the source line.
    assert warnings.startswith("warning: ours\n<string>:6: UserWarning: theirs\n")


@pytest.mark.slow
@pytest.mark.skipif(not allocator._is_glibc(), reason="other allocators need no restart")
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("flax_vision.cli.main", "evaluate nowhere"),
        ("flax_vision.cli.main", "train nowhere"),
        ("flax_vision.cli.train", "--config=nowhere.py"),
    ],
)
def test_commands_with_computation_restart(module, arguments):
    assert "starts: os.exec" in starts(module, arguments, os.environ["XDG_CACHE_HOME"])


def test_summary_compiles_and_does_not_restart():
    command = "summary lenet5 --mesh=rows=1"
    assert "starts: os.exec" not in starts(
        "flax_vision.cli.main", command, os.environ["XDG_CACHE_HOME"]
    )


@pytest.mark.parametrize(
    ("before", "is_interactive", "expected"),
    [
        (signal.default_int_handler, False, signal.SIG_DFL),
        (signal.default_int_handler, True, signal.default_int_handler),
        (signal.SIG_IGN, False, signal.SIG_IGN),
    ],
)
def test_handler_of_ctrl_c(before, is_interactive, expected, monkeypatch):
    monkeypatch.setattr(restart, "is_interactive", lambda: is_interactive)
    previous = signal.signal(signal.SIGINT, before)
    try:
        environment.handle_ctrl_c(signal.SIG_DFL)
        assert signal.getsignal(signal.SIGINT) == expected
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("name", ["JAX_PLATFORMS", "JAX_PLATFORM_NAME"])
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (RuntimeError("No backend 'cuda'. (set JAX_PLATFORMS='' to)"), "No backend 'cuda'"),
        (AssertionError(), "its plugin or its hardware is missing"),
    ],
)
def test_unavailable_devices(name, failure, reason, monkeypatch):
    def find_none():
        raise failure

    monkeypatch.setattr(jax, "devices", find_none)
    environment.check_platforms()  # JAX_PLATFORMS is cpu
    monkeypatch.setenv(name, "cuda")
    with pytest.raises(UserError) as error:
        environment.check_platforms()
    assert str(error.value) == (
        f"{name} is 'cuda', but JAX finds no such device ({reason}); set it to cpu, or unset it "
        "to use the best available device."
    )
