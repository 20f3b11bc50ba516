"""Lines between threads of one process."""

import contextlib
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from errno import ECONNABORTED, EMFILE

import pytest

from flax_vision.runtime import lifelines
from flax_vision.runtime.lifelines import Line


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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_listens_at_the_given_address_only(host):
    with lifelines.listen(host, 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", listener.getsockname()[1]))


def test_it_listens_at_all_addresses_for_a_name():
    """The other processes may resolve it to another address."""
    with lifelines.listen("node-1.cluster", 0) as listener:
        assert listener.getsockname()[0] in ("::", "0.0.0.0")


@pytest.mark.parametrize("words", [b"", b"2"])
@pytest.mark.parametrize("count", [3, 40])
def test_other_connections_delay_nobody(count, words):
    """They send nothing, or a part of a line; the oldest go when they are many."""
    with lifelines.listen("127.0.0.1", 0) as listener, ThreadPoolExecutor() as threads:
        address = listener.getsockname()
        gathered = threads.submit(lifelines.gather, listener, 2, 20.0)
        strangers = [socket.create_connection(address) for _ in range(count)]
        for stranger in strangers:
            with contextlib.suppress(OSError):
                stranger.sendall(words)
        begun = time.monotonic()
        assert list(lifelines.reach(*address, 2, 1, 20.0)) == [0]
        assert time.monotonic() - begun < 1.0
        assert list(gathered.result()) == [1]
        for stranger in strangers:
            with contextlib.suppress(ConnectionResetError):
                assert stranger.recv(100) == b""  # hung up
            stranger.close()


def test_first_line_may_come_in_pieces():
    with lifelines.listen("127.0.0.1", 0) as listener, ThreadPoolExecutor() as threads:
        gathered = threads.submit(lifelines.gather, listener, 2, 20.0)
        with socket.create_connection(listener.getsockname()) as other:
            for piece in (b"2 1 fl", b"ax_vision", b"\n"):
                other.sendall(piece)
                time.sleep(0.05)
            assert other.recv(100) == b"welcome\n"
    assert list(gathered.result()) == [1]


def test_process_without_free_files_hangs_up_on_the_oldest(monkeypatch):
    """If there is no other connection, it tries again later."""
    accept = socket.socket.accept
    failures = iter([EMFILE, None, EMFILE, None, ECONNABORTED, None])

    def fail_at_times(listener):
        if failure := next(failures, None):
            raise OSError(failure, "failed")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", fail_at_times)
    with lifelines.listen("127.0.0.1", 0) as listener, ThreadPoolExecutor() as threads:
        gathered = threads.submit(lifelines.gather, listener, 2, 20.0)
        with socket.create_connection(listener.getsockname()) as stranger:
            assert list(lifelines.reach(*listener.getsockname(), 2, 1, 20.0)) == [0]
            assert stranger.recv(100) == b""
    assert list(gathered.result()) == [1]


def test_closed_connection_is_ignored():
    with lifelines.listen("127.0.0.1", 0) as listener:
        gone = socket.create_connection(listener.getsockname())
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()  # by a reset
        with pytest.raises(TimeoutError, match="within 0.2 seconds .process 1 did not"):
            lifelines.gather(listener, 2, 0.2)


def test_many_missing_processes_are_counted():
    late = pytest.raises(TimeoutError, match="process 1, 2, 3, 4, 5, 6, 7, 8 and 9,991 more did")
    with lifelines.listen("127.0.0.1", 0) as listener, late:
        lifelines.gather(listener, 10_000, 0.1)
