"""The library, as a program sees it that starts with it."""

import os
import subprocess
import sys

import pytest

from flax_vision.runtime import allocator

PROGRAM = """
import ctypes, os, threading, time
MIB = 1 << 20
c = ctypes.CDLL(None)
for function in (c.realloc, c.malloc):
    function.restype = ctypes.c_void_p
c.malloc_usable_size.restype = ctypes.c_size_t

def take(size, alignment=64):
    start = ctypes.c_void_p()
    error = c.posix_memalign(ctypes.byref(start), ctypes.c_size_t(alignment), ctypes.c_size_t(size))
    return error or start.value

def free(start):
    c.free(ctypes.c_void_p(start))

def size(start):
    return c.malloc_usable_size(ctypes.c_void_p(start)) / MIB

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE") / MIB

a = take(100 * MIB)
"""
pytestmark = pytest.mark.skipif(not allocator._is_glibc(), reason="it stands in for glibc's")


def outcome(*lines):
    """Returns what the lines print, behind those of the program."""
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("LD_")}
    settings = allocator.keeping(environment)
    assert allocator.PRELOAD in settings
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([PROGRAM, *lines])],
        env=environment | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("wanted", "size"), [(100, 100), (99.3, 100), (50, 100), (47.5, 48), (100.5, 102)]
)
def test_a_free_block_serves_again_unless_most_of_it_would_be_left_over(wanted, size):
    assert outcome("free(a)", f"print(size(take(int({wanted} * MIB))))") == [f"{size}.0"]


def test_what_does_not_serve_is_given_back_when_there_is_another():
    fill = "ctypes.memset(a, 1, 100 * MIB); free(a); before = resident()"
    assert outcome(fill, "take(300 * MIB); print(before - resident() > 90)") == ["True"]


def test_the_smallest_that_serves_is_taken():
    take = "b = take(60 * MIB); free(a); free(b); print(take(50 * MIB) == b, take(80 * MIB) == a)"
    assert outcome(take) == ["True", "True"]


def test_a_block_in_use_stays_alone():
    fill = "b = take(100 * MIB); ctypes.memset(b, 1, 100 * MIB); print(ctypes.string_at(a, 1)[0])"
    assert outcome("ctypes.memset(a, 7, 100 * MIB)", fill) == ["7"]


SOON = """
def is_waited_for(seconds):
    threading.Thread(target=lambda: [time.sleep(seconds), free(a)]).start()
    return take(100 * MIB) == a
"""


def test_a_block_that_is_soon_free_is_waited_for():
    """Calls through ctypes leave other threads of Python running, which a busy machine may not."""
    again = "free(a); a = take(100 * MIB)"
    attempts = [outcome(SOON, again, "print(is_waited_for(0.001))") for _ in range(3)]
    assert ["True"] in attempts
    assert outcome(SOON, again, "print(is_waited_for(0.5))") == ["False"]


def test_the_block_of_a_first_step_is_waited_for():
    """It was never free, but has been in use for a while."""
    attempts = [outcome(SOON, "time.sleep(0.1); print(is_waited_for(0.001))") for _ in range(3)]
    assert ["True"] in attempts


def test_a_smaller_block_is_waited_for_to_be_given_back():
    fill = "ctypes.memset(a, 1, 100 * MIB); time.sleep(0.1)"
    soon = "threading.Thread(target=lambda: [time.sleep(0.008), free(a)]).start()"
    take = "before = resident(); b = take(120 * MIB); ctypes.memset(b, 1, 120 * MIB)"
    attempts = [outcome(fill, soon, take, "print(resident() - before < 30)") for _ in range(3)]
    assert ["True"] in attempts


def test_a_much_larger_block_is_not_waited_for():
    again = "free(a); a = take(100 * MIB); begun = time.time(); take(40 * MIB)"
    attempts = [outcome(again, "print(time.time() - begun < 0.01)") for _ in range(3)]
    assert ["True"] in attempts


def test_a_block_is_waited_for_in_vain_but_once():
    wait = "time.sleep(0.1); begun = time.time(); starts = [take(100 * MIB) for _ in range(100)]"
    assert outcome(wait, "print(time.time() - begun < 1)") == ["True"]


def test_blocks_that_are_taken_one_after_the_other_are_not_waited_for():
    count = "begun = time.time(); starts = [take(100 * MIB) for _ in range(100)]"
    assert outcome(count, "print(time.time() - begun < 1)") == ["True"]


def test_reallocation_keeps_what_is_there():
    resize = "b = c.realloc(ctypes.c_void_p(a), ctypes.c_size_t(3))"
    show = "print(ctypes.string_at(b, 3).decode(), take(100 * MIB) == a)"
    assert outcome("ctypes.memmove(a, b'abc', 3)", resize, show) == ["abc", "True"]


def test_the_size_is_known():
    """Of a block, and of what is glibc's."""
    small = "print(size(a), size(c.malloc(ctypes.c_size_t(104))) * MIB)"
    assert outcome(small) == ["100.0", "104.0"]


def test_a_child_may_take_and_free():
    """Born while another thread waits for a block."""
    wait = "free(a); a = take(100 * MIB); threading.Thread(target=take, args=[100 * MIB]).start()"
    child = "if not (pid := os.fork()): free(a); free(take(100 * MIB)); os._exit(7)"
    end = "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    assert outcome(wait, child, end) == ["7"]


@pytest.mark.parametrize("alignment", [0, 3, 24])
def test_an_alignment_that_is_none_is_refused(alignment):
    assert outcome(f"print(take(100 * MIB, {alignment}))") == ["22"]


def test_any_other_alignment_is_had():
    aligned = "print(*(take(40 * MIB, 1 << n) % (1 << n) for n in (4, 12, 21, 23)))"
    assert outcome(aligned) == ["0"] * 4


def test_more_blocks_than_it_knows_are_glibcs():
    many = "starts = [take(32 * MIB) for _ in range(300)]; print(len(set(starts)))"
    assert outcome(many, "for start in starts: free(start)") == ["300"]


def test_what_cannot_be_had_is_an_error():
    assert outcome("print(take(1 << 62))") == ["12"]
