"""A process that another's death ends, the other being a thread of the test."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from flax_vision.runtime import lifelines
from flax_vision.runtime.ending import Ending

PROGRAM = """
import ctypes, sys, time
from flax_vision import ending, lifelines

ending._LAST_WORDS_SECONDS = 0.2
lines = lifelines.reach("127.0.0.1", int(sys.argv[1]), 2, 1, 60.0)
ending = ending.Ending(lambda who: print("lost:", who, file=sys.stderr, flush=True))
ending.watch(lines, False)
print("ready", flush=True)
{what}
"""
CLOSED = """
import os
read, write = os.pipe()
os.close(read)
sys.stdout = open(write, "w")
sys.stdout.write("nobody reads this")
"""
ABORT = "ctypes.CDLL(None).abort()"


def end_of(what, farewell=""):
    """Returns the status and the errors of a process whose first one dies, and how it ended."""
    with lifelines.listen("127.0.0.1", 0) as listener, ThreadPoolExecutor() as threads:
        gathered = threads.submit(lifelines.gather, listener, 2, 60.0)
        command = [sys.executable, "-c", PROGRAM.format(what=what)]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*command, str(listener.getsockname()[1])], stdout=pipe, stderr=pipe, text=True
        ) as process:
            assert process.stdout.readline() == "ready\n"
            line = gathered.result()[1]
            if farewell:
                line.say(farewell)
            line.connection.shutdown(socket.SHUT_RDWR)
            _, errors = process.communicate(timeout=60)
            return process.returncode, errors.splitlines()


@pytest.mark.parametrize(
    ("what", "farewell", "who"),
    [
        ("time.sleep(60)", "", "process 0"),
        ("time.sleep(60)", "7", "process 7"),  # of which the first has told
        ("ending.lose('a sign')", "", "process 0"),
        ("ending.lose('a sign')", "farewell", "another process (a sign)"),
        ("assert ending.has_lost(); ending.lose('a sign')", "", "process 0"),
        (ABORT, "", "process 0"),
    ],
)
def test_last_words_are_one_line(what, farewell, who):
    assert end_of(what, farewell) == (1, [f"lost: {who}"])


@pytest.mark.parametrize(
    "what",
    ["def fail(who): raise BrokenPipeError\nending._last_words = fail\n", CLOSED],
)
def test_it_ends_though_nobody_reads_what_it_says(what):
    status, _ = end_of(f"{what}time.sleep(60)")
    assert status == 1


def test_what_is_done_or_fails_by_itself_is_no_loss():
    assert end_of("time.sleep(1); ending.leave(0)", "farewell") == (0, [])
    assert end_of("assert not ending.has_lost(); ending.leave(5)", "farewell") == (5, [])
    assert end_of("ending.leave(6)") == (6, [])


def test_those_that_stop_together_say_farewell():
    with lifelines.listen("127.0.0.1", 0) as listener, ThreadPoolExecutor() as threads:
        other = threads.submit(lifelines.reach, "127.0.0.1", listener.getsockname()[1], 2, 1, 20.0)
        lines = lifelines.gather(listener, 2, 20.0)
    leaving = Ending(pytest.fail)
    leaving._lines, leaving._has_others = lines, True
    assert leaving.leave(143, is_common=True) == 143
    assert other.result()[0].hear(5.0) == "farewell"
