import errno
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flax_vision.training.signals import Interrupted, Interruption

ROOT = Path(__file__).parents[2]
AT_ONCE = "stopped at once; the same command resumes from what is saved\n"


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which then ignores Ctrl-C."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_remembered(number):
    with Interruption() as interruption:
        assert interruption.signal is None
        os.kill(os.getpid(), number)
        assert interruption.signal is number


def test_signal_is_remembered_where_stderr_cannot_be_written(monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signal is signal.SIGTERM


def test_signal_in_a_callback_of_the_garbage_collector_is_not_lost(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    def interrupt(phase, info):
        gc.callbacks.remove(interrupt)
        os.kill(os.getpid(), signal.SIGINT)

    with Interruption() as interruption, interruption.reading():
        gc.callbacks.append(interrupt)
        gc.collect()
        with pytest.raises(Interrupted, match="SIGINT while reading"):
            interruption.stop_reading()
    assert reported == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_ends_reading_that_is_blocked(number):
    threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
    with Interruption() as interruption, interruption.reading():
        with pytest.raises(Interrupted, match=f"{number.name} while reading"):
            threading.Event().wait(10)
        assert interruption.signal is number


def test_second_ctrl_c_acts_at_once():
    with Interruption():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with Interruption():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_is_ignored_remains_ignored(number):
    previous = signal.signal(number, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), number)
            assert interruption.signal is None
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, previous)


SWALLOWS = """
import gc, os, signal, sys
from flax_vision.training.signals import stop_at_once_on_ctrl_c
{before}
stop_at_once_on_ctrl_c()
gc.callbacks.append(lambda *phase: os.kill(os.getpid(), signal.SIGINT))
gc.collect()
gc.callbacks.clear()
print("goes on")
"""


@pytest.mark.parametrize(
    ("before", "outcome"),
    [
        ("", (130, AT_ONCE)),
        ("signal.signal(signal.SIGINT, signal.SIG_IGN)", (0, "goes on\n")),
        ("sys.ps1 = '> '", (0, "goes on\n")),  # as a session does with Python's own handler
    ],
)
def test_ctrl_c_is_not_swallowed_by_a_callback(before, outcome):
    program = SWALLOWS.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == outcome


def is_importing_jax(process: subprocess.Popen) -> bool:
    return "jaxlib" in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_ctrl_c_in_the_first_second_of_training(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "train.py", "--config=configs/lenet5.py", f"--workdir={tmp_path}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while process.poll() is None and not is_importing_jax(process):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == AT_ONCE
    assert process.returncode == 130
