"""Connections by which the processes of a run meet, and notice when one of them dies.

Each keeps one to the first process open. The system closes it whatever the end that a process comes
to, and TCP itself asks after a machine that says nothing.
"""

import contextlib
import errno
import ipaddress
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from flax_vision.errors import UserError
from flax_vision.text import listed

_KEEP_ALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A machine that does not answer is taken for dead after 20 seconds."""

_LONGEST = 1000
"""Bytes of a line; what says more is no process of a run."""

_SIGNATURE = "flax_vision"
"""End of the first line of a process; other programs do not send it."""

_STRANGERS = 32
"""Number of connections that may be open before their first line has come."""

_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)
"""Errors of a process, or a system, that has too many files open."""

_AGAIN_SECONDS = 0.2
_ATTEMPT_SECONDS = 10.0
"""For each address of the first process, of which a name may have some that lead nowhere."""

_WELCOME, _FAREWELL = "welcome", "farewell"
_MISTAKE, _TIME_OUT = "mistake: ", "time-out: "


class Line(NamedTuple):
    """A connection on which both sides send lines of text."""

    connection: socket.socket

    def say(self, text: str) -> None:
        """Sends a line, if there is still someone."""
        with contextlib.suppress(OSError):
            self.connection.sendall(f"{text}\n".encode())

    def hear(self, seconds: float | None) -> str:
        """Returns the next line, or what has come of it in time, before the other side has gone."""
        deadline = None if seconds is None else time.monotonic() + seconds
        said = b""
        with contextlib.suppress(OSError):
            while len(said) < _LONGEST and not said.endswith(b"\n"):
                self.connection.settimeout(deadline and _left(deadline))
                byte = self.connection.recv(1)
                if not byte:
                    break
                said += byte
        return said.decode(errors="replace").removesuffix("\n")


class _Hello(NamedTuple):
    """The first line of a process.

    Attributes:
      line: The connection to it.
      processes: Number of processes, from its command.
      process: Its process number.
    """

    line: Line
    processes: int
    process: int


Lines = Mapping[int, Line]
"""To other processes, by their numbers: of the first to all, of all others to the first."""


def is_address(host: str) -> bool:
    """Returns whether a host is one address, not a name that others may resolve differently."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens at an address; for a name, at all addresses of the machine.

    Args:
      host: An address or a name.
      port: Number of the port; 0 for any free one.
    """
    if is_address(host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def gather(listener: socket.socket, processes: int, seconds: float) -> Lines:
    """Waits for the other processes, and returns the line to each; called by the first.

    Raises:
      UserError: they do not fit together, which all that have come are told.
      TimeoutError: not all came, which those are told that have; the text says who and how long.
    """
    lines: dict[int, Line] = {}
    missing = set(range(1, processes))
    with contextlib.closing(_hellos(listener, time.monotonic() + seconds)) as hellos:
        while missing:
            if (hello := next(hellos, None)) is None:
                why = _late(listed([str(process) for process in sorted(missing)], 8), seconds)
                _tell(lines.values(), _TIME_OUT + why)
                raise TimeoutError(why)
            if mistake := _mistake(processes, hello, hello.process not in missing):
                _tell((*lines.values(), hello.line), _MISTAKE + mistake)
                raise UserError(mistake)
            lines[hello.process] = hello.line
            missing.remove(hello.process)
    _tell(lines.values(), _WELCOME)
    return lines


@dataclass
class _Stranger:
    """A connection before its first line is complete."""

    line: Line
    said: bytes = b""

    def has_spoken(self) -> bool:
        """Reads the bytes that have come, and returns whether nothing of the line is missing."""
        try:
            new = self.line.connection.recv(_LONGEST - len(self.said))
        except OSError:
            return True
        self.said += new
        return not new or new.endswith(b"\n") or len(self.said) == _LONGEST


def _hellos(listener: socket.socket, deadline: float) -> Generator[_Hello, None, None]:
    """Yields the first line of every process that connects.

    A connection that is silent, or sends a part of a line, does not delay the others. The oldest
    of them is closed when there are too many. One with any other first line is closed at once.
    """
    listener.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ, None)
        try:
            while time.monotonic() < deadline:
                ready = [key.data for key, _ in selector.select(_left(deadline))]
                for stranger in filter(None, ready):
                    if stranger.has_spoken():
                        selector.unregister(stranger.line.connection)
                        if hello := _hello(stranger):
                            yield hello
                if None in ready:
                    _accept(listener, selector)
        finally:
            for stranger in _strangers(selector):
                stranger.line.connection.close()


def _strangers(selector: selectors.BaseSelector) -> list[_Stranger]:
    """Returns the connections without a first line, the oldest first."""
    return [key.data for key in selector.get_map().values() if key.data is not None]


def _accept(listener: socket.socket, selector: selectors.BaseSelector) -> None:
    """Accepts a connection, for which the oldest stranger may have to go."""
    strangers = _strangers(selector)
    try:
        line = _line(listener.accept()[0])
        selector.register(line.connection, selectors.EVENT_READ, _Stranger(line))
        is_full = len(strangers) >= _STRANGERS
    except OSError as error:  # the connection may be closed already
        is_full = error.errno in _NO_MORE_FILES
    if is_full and strangers:
        selector.unregister(strangers[0].line.connection)
        strangers[0].line.connection.close()
    elif is_full:
        time.sleep(_AGAIN_SECONDS)


def _hello(stranger: _Stranger) -> _Hello | None:
    """Returns the first line of a process; None for a line of another program."""
    said = stranger.said.decode(errors="replace").removesuffix("\n")
    words = re.fullmatch(rf"([0-9]{{1,6}}) ([0-9]{{1,6}}) {_SIGNATURE}", said)
    if words and int(words[2]) < int(words[1]):
        return _Hello(stranger.line, int(words[1]), int(words[2]))
    stranger.line.connection.close()
    return None


def _tell(lines: Iterable[Line], text: str) -> None:
    for line in lines:
        line.say(text)


def reach(host: str, port: int, processes: int, process: int, seconds: float) -> Lines:
    """Returns the line to the first process, when all have come; called by every other.

    Raises:
      UserError: they do not fit together, or what answers is not the first of such a run.
      TimeoutError: the first does not answer, or says that others have not come.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if line := _call(host, port, min(_ATTEMPT_SECONDS, _left(deadline))):
            line.say(f"{processes} {process} {_SIGNATURE}")
            answer = line.hear(_left(deadline))
            if answer == _WELCOME:
                return {0: line}
            line.connection.close()
            if answer.startswith(_MISTAKE):
                raise UserError(answer.removeprefix(_MISTAKE))
            if answer.startswith(_TIME_OUT):
                raise TimeoutError(answer.removeprefix(_TIME_OUT))
            if answer:
                raise UserError(_stranger(host, port, process))
        time.sleep(min(_AGAIN_SECONDS, _left(deadline)))
    raise TimeoutError(_late("0", seconds))


def _call(host: str, port: int, seconds: float) -> Line | None:
    """Returns a line to what listens there, if something does."""
    with contextlib.suppress(OSError):
        connection = socket.create_connection((host, port), seconds)
        if connection.getsockname() != connection.getpeername():
            return _line(connection)
        connection.close()  # to itself, as TCP allows
    return None


def watch(lines: Lines, lost: Callable[[int], None]) -> None:
    """Has `lost` called with the number of a process that dies, in a thread of its own."""

    def listen_to(process: int, line: Line) -> None:
        said = line.hear(None)
        if said == _FAREWELL:
            return
        dead = int(said) if said.isdecimal() else process  # the first tells of others
        for other in lines.values():
            other.say(str(dead))
        lost(dead)

    for each in lines.items():
        threading.Thread(target=listen_to, args=each, daemon=True).start()


def part(lines: Lines) -> None:
    """Tells the others that this process ends because it is done."""
    _tell(lines.values(), _FAREWELL)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 1e-3)


def _line(connection: socket.socket) -> Line:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return Line(connection)


def _late(processes: str, seconds: float) -> str:
    return f"within {seconds:g} seconds (process {processes} did not)"


def _mistake(processes: int, hello: _Hello, is_there: bool) -> str:
    if hello.processes != processes:
        return (
            f"--num_processes is {processes} in process 0 and {hello.processes} in process "
            f"{hello.process}; give all the same."
        )
    if is_there:
        return f"--process_id is {hello.process} in two processes; give each its own, from 0 on."
    return ""


def _stranger(host: str, port: int, process: int) -> str:
    return (
        f"what answers at {host}:{port} is not the first process of a run that waits for process "
        f"{process}: a run that has begun, or another program. Give every process its own "
        "--process_id, or another port."
    )
