"""The processes of one run: how they find each other, what they agree on, and how they end.

Every process runs the same program on its own devices, and JAX's runtime joins these to one mesh.
What only one of them may do, or know by its own clock, they agree on here.
"""

import importlib.util
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from flax_vision.errors import UserError

JOIN_SECONDS = 300.0
"""How long processes that were not started together wait for each other."""

_HEARTBEAT_SECONDS = 20
"""After so long without a sign of life a process is taken for dead."""

_SHUTDOWN_SECONDS = 3600
"""At the end the others wait so long for the first, which has the export to write."""

_LAST_WORDS_SECONDS = 1.0

_MANAGED = ("SLURM_STEP_NODELIST", "OMPI_COMM_WORLD_RANK", "JOB_COMPLETION_INDEX")
"""Variables of SLURM, Open MPI and Kubernetes (an indexed job) in a process that has others."""

_Result = TypeVar("_Result")


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    seconds: float = JOIN_SECONDS,
) -> None:
    """Finds the other processes of the run, if it has some; before JAX is asked for its devices.

    Args:
      coordinator: HOST:PORT at which the first process is found by all; None to ask SLURM, Open
        MPI, Kubernetes or the TPU, and to be alone where there is none of them.
      processes: how many there are; given with `coordinator`.
      process: which this is, from 0; given with `coordinator`.
      seconds: how long to wait for them. After that the program ends with an error.

    Raises:
      UserError: the arguments do not go together, or the environment does not tell.
    """
    given = {"coordinator": coordinator, "num_processes": processes, "process_id": process}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if len(missing) == len(given):
        if _is_managed():
            _detect(seconds)
        return
    if missing:
        raise UserError(
            f"{' and '.join(missing)} must be given too: --coordinator HOST:PORT, --num_processes "
            "N and --process_id I belong together."
        )
    _check(str(coordinator), int(processes or 0), int(process or 0))
    if process == 0:
        _check_port(str(coordinator))
    _connect(f"at {coordinator}", seconds, coordinator, processes, process)


def count() -> int:
    """Returns how many processes the run has."""
    return jax.process_count()


def is_first() -> bool:
    """Returns whether this is the process that writes and shows what there is one of."""
    return jax.process_index() == 0


def agreed(*asked: int) -> tuple[int, ...]:
    """Returns the largest that any process asks for, of each number; called by all at once."""
    if count() == 1:
        return asked
    rows = multihost_utils.process_allgather(np.array(asked, np.int32))
    return tuple(rows.max(axis=0).tolist())


def gathered(text: str) -> list[str]:
    """Returns what each process says, the first's first; called by all at once."""
    if count() == 1:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)
    (longest,) = agreed(len(own))
    rows = multihost_utils.process_allgather(np.pad(own, (0, longest + 1 - len(own))))
    return [row.tobytes().rstrip(b"\0").decode() for row in rows]


def first_only(function: Callable[[], _Result]) -> _Result | None:
    """Has the first process do something, for which the others wait; called by all at once.

    Returns:
      The result in the first process, None in the others.

    Raises:
      UserError: it was one in the first process, or an OSError, for which the others raise this.
    """
    result, failure = None, None
    if is_first():
        try:
            result = function()
        except (UserError, OSError) as error:
            failure = error
    told = gathered(str(failure or ""))[0]
    if failure:
        raise failure
    if told:
        raise UserError(told)
    return result


def check_same(settings: Mapping[str, Any]) -> None:
    """Raises a UserError in every process unless all have the same settings."""
    texts = gathered(json.dumps(settings, sort_keys=True))
    first = json.loads(texts[0])
    for process, text in enumerate(texts):
        other = json.loads(text)
        differences = [
            f"{key} is {first.get(key)!r} in process 0 and {other.get(key)!r} in process {process}"
            for key in sorted(first | other)
            if first.get(key) != other.get(key)
        ]
        if differences:
            raise UserError(
                f"the processes of a run must have one configuration: {'; '.join(differences)}. "
                "Start all with the same command, but for --process_id."
            )


def leave(status: int) -> int:
    """Returns the exit status; with others, and after an error, it ends the process at once.

    They cannot be waited for, as JAX does at an exit, when they may be dead.
    """
    if count() > 1 and status:
        if is_first():  # whose end ends the others, in the middle of what they say
            time.sleep(_LAST_WORDS_SECONDS)
        sys.stdout.flush()
        os._exit(status)
    return status


def _is_managed() -> bool:
    return any(name in os.environ for name in _MANAGED) or bool(importlib.util.find_spec("libtpu"))


def _detect(seconds: float) -> None:
    if "JOB_COMPLETION_INDEX" in os.environ and not importlib.util.find_spec("kubernetes"):
        raise UserError(
            "this is a pod of an indexed job of Kubernetes (JOB_COMPLETION_INDEX is in the "
            "environment), whose others are found with the package kubernetes, which is not "
            "installed: pip install kubernetes, or give --coordinator HOST:PORT, --num_processes N "
            "and --process_id I."
        )
    try:
        _connect("that the environment names", seconds)
    except (RuntimeError, ValueError) as error:
        if "coordinator_address should be defined" in str(error):  # a process that is alone
            return
        raise UserError(
            f"the environment does not tell where the other processes are ({error}); give "
            "--coordinator HOST:PORT, --num_processes N and --process_id I."
        ) from error


def _check(coordinator: str, processes: int, process: int) -> None:
    port = re.fullmatch(r".+:(\d{1,5})", coordinator)
    if not port or not 0 < int(port[1]) < 1 << 16:
        raise UserError(
            f"--coordinator is {coordinator!r}; it must be HOST:PORT, the host of process 0 and a "
            "free port there, such as 10.0.0.1:1234."
        )
    if processes < 1:
        raise UserError(f"--num_processes is {processes}; it must be at least 1.")
    if not 0 <= process < processes:
        raise UserError(
            f"--process_id is {process}; with --num_processes={processes} it must be from 0 to "
            f"{processes - 1}."
        )


def _check_port(coordinator: str) -> None:
    """Raises a UserError if the port is taken, at which JAX would end with a page of C++."""
    port = int(coordinator.rpartition(":")[2])
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise UserError(
            f"--coordinator is {coordinator!r}, and this process cannot listen at port {port} "
            f"({error.strerror}); give another port to all processes."
        ) from error


def _check_devices() -> None:
    """Raises a UserError unless each process has as many devices as any other."""
    devices = Counter(device.process_index for device in jax.devices())
    if len(set(devices.values())) > 1:
        counts = ", ".join(f"process {process} has {n}" for process, n in sorted(devices.items()))
        raise UserError(f"the processes of a run must have as many devices each: {counts}.")


def _connect(
    where: str,
    seconds: float,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
    # JAX's own time-out is the end of the process, with a page of C++.
    timer = threading.Timer(seconds, _give_up, (where, seconds))
    timer.daemon = True
    timer.start()
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own comes after the wait
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=int(seconds) + 60,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, interrupt)
    _check_devices()


def _give_up(where: str, seconds: float) -> None:
    message = (
        f"error: time-out: not all processes came to the coordinator {where} within {seconds:g} "
        "seconds. Start process 0 on that host, and all of --num_processes; and see that the port "
        "can be reached."
    )
    print(message, file=sys.stderr, flush=True)
    os._exit(2)
