"""Initialization of JAX's distributed service, and the end of a process that loses another."""

import contextlib
import ctypes
import importlib.util
import ipaddress
import os
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

import jax
from jax._src.distributed import global_state

from flax_vision.errors import UserError
from flax_vision.runtime import multihost
from flax_vision.runtime.environment import check_platforms
from flax_vision.runtime.terminal import print_error, print_warning

TIMEOUT_SECONDS = 300.0
"""Time limit for the processes to connect; a cluster may start them one after the other."""

HEARTBEAT_SECONDS = 10
"""JAX aborts all processes when one of them has been silent for this time."""

_SHUTDOWN_SECONDS = 3600
"""Time limit for the others to wait at the end for process 0, which writes the export."""

_GOODBYE_SECONDS = 2.0
"""Delay of process 0 after an error; its end interrupts the others, which may print theirs."""

_MAX_PROCESSES = 10_000

_TASK_COUNTS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
"""Variables with the number of processes that SLURM or Open MPI has started."""

_JOB_INDEX = "JOB_COMPLETION_INDEX"
"""Variable with the index of a process in an indexed job of Kubernetes."""

_handlers: list[Any] = []
"""The C functions that handle SIGABRT; they must stay alive as long as the process."""


def initialize(
    coordinator: str | None = None,
    process_count: int | None = None,
    process_id: int | None = None,
    *,
    on_loss: Callable[[], None] = lambda: None,
    timeout: float = TIMEOUT_SECONDS,
) -> None:
    """Connects the processes of a run; call it before JAX looks for its devices.

    Without arguments JAX detects SLURM, Open MPI, Kubernetes and TPUs. Outside of them the process
    stays alone. When another process ends, JAX aborts this one. Then `on_loss` is called, and the
    exit status is 1.

    Args:
      coordinator: HOST:PORT of process 0.
      process_count: Number of processes.
      process_id: Index of this process, from 0.
      on_loss: Function that prints the last line after the loss of another process.
      timeout: Time limit for the connection, in seconds.

    Raises:
      UserError: The arguments are invalid or differ among processes, the port of the coordinator
        is in use, or the cluster cannot be detected.
    """
    given = {"coordinator": coordinator, "num-processes": process_count, "process-id": process_id}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if len(missing) == len(given):
        if _is_in_cluster():
            _detect(timeout, on_loss)
        else:
            _warn_without_srun()
        return
    if coordinator is None or process_count is None or process_id is None:
        raise UserError(
            f"{' and '.join(missing)} must be given too; --coordinator HOST:PORT, "
            "--num-processes N and --process-id I belong together."
        )
    host, port = _check_arguments(coordinator, process_count, process_id)
    if process_id == 0:
        _check_port(coordinator, host, port)
    bind_address = coordinator if _is_address(host) else None
    ids = {"num_processes": process_count, "process_id": process_id}
    service = {"coordinator_address": coordinator, "coordinator_bind_address": bind_address, **ids}
    _connect(f"at {coordinator}", timeout, on_loss, **service)
    multihost.check_same({"--num-processes": process_count}, hint="Give all processes the same.")


def wait_for_loss() -> None:
    """Waits until JAX has noticed the loss of another process, which ends this one.

    Call it after an error that such a loss may explain. It returns if no process was lost.
    """
    time.sleep(2 * HEARTBEAT_SECONDS)


def exit_without_waiting(status: int) -> NoReturn:
    """Ends this process after an error; an ordinary exit of JAX waits for the other processes."""
    if global_state.service is not None:
        time.sleep(_GOODBYE_SECONDS)
    with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
        sys.stdout.flush()
    os._exit(status)


def _check_arguments(coordinator: str, process_count: int, process_id: int) -> tuple[str, int]:
    """Returns the host and the port of the coordinator; a UserError names an invalid argument."""
    address = re.fullmatch(r"([^:\[\]]+|\[[^\[\]]+\]):([0-9]{1,5})", coordinator)
    if not address or not 0 < int(address[2]) < 1 << 16:
        raise UserError(
            f"--coordinator is {coordinator!r}; it must be HOST:PORT, the host of process 0 and a "
            "free port there, such as 10.0.0.1:1234. For IPv6 write [::1]:1234."
        )
    if not 0 < process_count <= _MAX_PROCESSES:
        raise UserError(
            f"--num-processes is {process_count}; it must be from 1 to {_MAX_PROCESSES:,}. Give "
            "the number of processes that you start."
        )
    if not 0 <= process_id < process_count:
        raise UserError(
            f"--process-id is {process_id}; with --num-processes={process_count} it must be from "
            f"0 to {process_count - 1}. Give each process its own."
        )
    return address[1].strip("[]"), int(address[2])


def _check_port(coordinator: str, host: str, port: int) -> None:
    """Raises a UserError where JAX's service cannot listen, which would crash the process."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host if _is_address(host) else "", port), family=family).close()
    except OSError as error:
        raise UserError(
            f"--coordinator is {coordinator!r}, where this process cannot listen "
            f"({error.strerror}). Give all processes an address of this host and a free port, and "
            "only one of them --process-id 0."
        ) from error


def _is_address(host: str) -> bool:
    """Returns whether a host is an address, not a name that other hosts may resolve differently."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return host == "localhost"


def _is_in_cluster() -> bool:
    """Returns whether JAX may detect other processes."""
    if _task_counts() or _JOB_INDEX in os.environ:
        return True
    return importlib.util.find_spec("libtpu") is not None


def _warn_without_srun() -> None:
    """Warns in the shell of salloc or a script of sbatch, where a program starts only once."""
    tasks = os.environ.get("SLURM_NTASKS", "1")
    if tasks != "1" and "SLURM_STEP_ID" not in os.environ:
        print_warning(
            f"SLURM_NTASKS is {tasks}, and this process is alone, because srun did not start it; "
            "srun starts one process for each task"
        )


def _warn_without_kubernetes() -> None:
    """Warns in an indexed job of Kubernetes, whose processes JAX finds by another package."""
    if index := os.environ.get(_JOB_INDEX):
        print_warning(
            f"{_JOB_INDEX} is {index}, and this process is alone, because JAX does not detect the "
            "others; if they belong to one run, install the package kubernetes, or give "
            "--coordinator HOST:PORT, --num-processes N and --process-id I"
        )


def _task_counts() -> list[str]:
    """Returns the variables by which SLURM or Open MPI tell of more than one process."""
    names = list(_TASK_COUNTS)
    if "SLURM_STEP_ID" in os.environ and "SLURM_STEP_NUM_TASKS" not in os.environ:
        names.append("SLURM_NTASKS")  # some containers pass only a part of the variables
    counts = {name: os.environ.get(name, "1") for name in names}
    return [f"{name} is {count}" for name, count in counts.items() if count != "1"]


def _detect(timeout: float, on_loss: Callable[[], None]) -> None:
    """Connects the processes of a cluster that JAX detects; a single process stays alone."""
    try:
        _connect("of the cluster", timeout, on_loss)
    except UserError:
        raise
    except (RuntimeError, ValueError) as error:
        reason = str(error)
        if "coordinator_address should be defined" in reason:
            if not (counts := _task_counts()):
                _warn_without_kubernetes()
                return
            reason = f"although {' and '.join(counts)}"
        raise UserError(
            f"JAX does not detect the other processes ({reason}); give --coordinator HOST:PORT, "
            "--num-processes N and --process-id I."
        ) from error


def _connect(where: str, timeout: float, on_loss: Callable[[], None], **service: Any) -> None:
    """Connects the processes; `service` has the arguments of JAX that name the coordinator."""
    connected = _exit_on_abort(
        on_loss,
        f"not all processes could connect to the coordinator {where}. Start process 0 on its host, "
        f"and all of --num-processes within {timeout:g} seconds, each with its own --process-id; "
        "check that the port can be reached.",
    )
    timer = threading.Timer(timeout, signal.raise_signal, [signal.SIGABRT])
    timer.daemon = True
    timer.start()
    handler = signal.getsignal(signal.SIGINT)
    if handler != signal.SIG_IGN:
        # A handler of Python's would run after the wait.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        jax.distributed.initialize(
            **service,
            initialization_timeout=int(timeout) + 60,  # JAX prints a page of C++ then
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
    except BaseException:
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        raise
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, handler)
    connected.set()
    _check_devices()


def _exit_on_abort(on_loss: Callable[[], None], timeout_message: str) -> threading.Event:
    """Prints a last line when JAX aborts this process, and sets the exit status.

    JAX aborts the process from a thread of C++. Handlers of Python's `signal` would not run.

    Returns:
      Event that the caller sets when the processes are connected.
    """
    connected = threading.Event()

    def handle(number: int) -> None:
        del number
        try:
            if connected.is_set():
                on_loss()
            else:
                print_error(timeout_message)
        finally:
            os._exit(1 if connected.is_set() else 2)

    _handlers.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(handle))
    ctypes.CDLL(None).signal(signal.SIGABRT, _handlers[-1])
    return connected


def _check_devices() -> None:
    """Raises a UserError unless all processes have the same number of devices, at least one."""
    check_platforms()
    devices = Counter(device.process_index for device in jax.devices())
    if len(set(devices.values())) > 1:
        counts = ", ".join(f"process {process} has {n}" for process, n in sorted(devices.items()))
        raise UserError(
            f"the processes have different numbers of devices: {counts}. Give all the same number."
        )
