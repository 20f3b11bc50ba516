"""Lines between threads of one process."""

import socket
import threading
import time

import pytest

from flax_vision import lifelines
from flax_vision.lifelines import Line


@pytest.fixture
def pair():
    """A line, and the connection at its other end."""
    one, other = socket.socketpair()
    with one, other:
        yield Line(one), other


def test_lines_come_one_by_one(pair):
    line, other = pair
    other.sendall("one\nand tw\u00f6\nrest".encode())
    other.close()
    assert [line.hear(5.0) for _ in range(4)] == ["one", "and tw\u00f6", "rest", ""]


def test_time_to_speak_is_that_of_the_whole_line(pair):
    line, other = pair

    def drip():
        for _ in range(100):
            try:
                other.sendall(b"1")
            except OSError:
                return
            time.sleep(0.02)

    slow = threading.Thread(target=drip)
    slow.start()
    begun = time.monotonic()
    assert set(line.hear(0.1)) == {"1"}
    assert time.monotonic() - begun < 1.5
    line.connection.close()
    slow.join()


def test_line_without_an_end_is_cut(pair):
    line, other = pair
    other.sendall(b"1" * 5000)
    assert line.hear(5.0) == "1" * 1000


def test_address_that_leads_nowhere_takes_a_part_of_the_time(monkeypatch):
    asked = []

    def create(address, seconds):
        asked.append((address, seconds))
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", create)
    monkeypatch.setattr(lifelines, "_AGAIN_SECONDS", 0.0)
    clock = iter([0.0, 0.0, 0.0, 0.0, 293.0, 293.0, 293.0, 301.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with pytest.raises(TimeoutError, match="within 300 seconds"):
        lifelines.reach("host", 1234, 2, 1, 300.0)
    assert asked == [(("host", 1234), 10.0), (("host", 1234), 7.0)]
