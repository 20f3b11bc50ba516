"""Connections by which the processes of a run meet, and notice when one of them dies.

Each keeps one to the first process open. The system closes it whatever the end that a process comes
to, and TCP itself asks after a machine that says nothing.
"""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from flax_vision.errors import UserError

_KEEP_ALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A machine that does not answer is taken for dead after 20 seconds."""

_LONGEST = 1000
"""Bytes of a line; what says more is no process of a run."""

_FIRST_WORDS_SECONDS = 5.0
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


Lines = Mapping[int, Line]
"""To other processes, by their numbers: of the first to all, of all others to the first."""


def listen(port: int) -> socket.socket:
    """Returns what listens at a port, with IPv6 too where there is that; 0 for any that is free."""
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
    deadline = time.monotonic() + seconds
    while missing := set(range(1, processes)) - set(lines):
        listener.settimeout(_left(deadline))
        try:
            line = _line(listener.accept()[0])
        except TimeoutError:
            why = _late(", ".join(map(str, sorted(missing))), seconds)
            for line in lines.values():
                line.say(_TIME_OUT + why)
            raise TimeoutError(why) from None
        others, process = _hello(line, min(_FIRST_WORDS_SECONDS, _left(deadline)))
        if process >= others:
            line.connection.close()  # no process of a run
            continue
        if mistake := _mistake(processes, others, process, process in lines):
            for each in (*lines.values(), line):
                each.say(_MISTAKE + mistake)
            raise UserError(mistake)
        lines[process] = line
    for line in lines.values():
        line.say(_WELCOME)
    return lines


def reach(host: str, port: int, processes: int, process: int, seconds: float) -> Lines:
    """Returns the line to the first process, when all have come; called by every other.

    Raises:
      UserError: they do not fit together, or what answers is not the first of such a run.
      TimeoutError: the first does not answer, or says that others have not come.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if line := _call(host, port, min(_ATTEMPT_SECONDS, _left(deadline))):
            line.say(f"{processes} {process}")
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
    for line in lines.values():
        line.say(_FAREWELL)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 1e-3)


def _hello(line: Line, seconds: float) -> tuple[int, int]:
    """Returns how many there are for another process, and which it is; (0, 0) for a stranger."""
    said = re.fullmatch(r"([0-9]{1,6}) ([0-9]{1,6})", line.hear(seconds))
    return (int(said[1]), int(said[2])) if said else (0, 0)


def _line(connection: socket.socket) -> Line:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return Line(connection)


def _late(processes: str, seconds: float) -> str:
    return f"within {seconds:g} seconds (process {processes} did not)"


def _mistake(processes: int, others: int, process: int, is_there: bool) -> str:
    if others != processes:
        return (
            f"--num_processes is {processes} in process 0 and {others} in process {process}; give "
            "all the same."
        )
    if process == 0 or is_there:
        return f"--process_id is {process} in two processes; give each its own, from 0 on."
    return ""


def _stranger(host: str, port: int, process: int) -> str:
    return (
        f"what answers at {host}:{port} is not the first process of a run that waits for process "
        f"{process}: a run that has begun, or another program. Give every process its own "
        "--process_id, or another port."
    )
