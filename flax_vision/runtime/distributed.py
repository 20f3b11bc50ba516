"""How the processes of a run find each other, before JAX is asked for its devices."""

import importlib.util
import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping

import jax

from flax_vision.errors import UserError
from flax_vision.runtime import lifelines, multihost
from flax_vision.runtime.environment import check_platforms
from flax_vision.runtime.lifelines import Lines
from flax_vision.runtime.terminal import print_error, print_warning

JOIN_SECONDS = 300.0
"""How long processes that were not started together wait for each other."""

HEARTBEAT_SECONDS = 50
"""After so long without a sign of life JAX takes a process for dead."""

_SHUTDOWN_SECONDS = 3600
"""At the end the others wait so long for the first, which has the export to write."""

_LINES_SECONDS = 20.0

_MOST_PROCESSES = 10_000
"""Limit of --num_processes; process 0 has a connection to each process."""

MANAGED = ("OMPI_COMM_WORLD_RANK", "JOB_COMPLETION_INDEX")
"""Variables of Open MPI and Kubernetes (an indexed job) in a process that has others."""

SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
"""What srun sets in each of its tasks, by which JAX finds the others."""


Met = Callable[[Lines, bool], None]
"""Called with lines to the others, and whether this is the first process."""


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    seconds: float = JOIN_SECONDS,
    met: Met = lambda lines, is_first: None,
) -> None:
    """Finds the other processes of the run, if it has some; before JAX is asked for its devices.

    Args:
      coordinator: HOST:PORT at which the first process is found by all; None to ask SLURM, Open
        MPI, Kubernetes or the TPU, and to be alone where there is none of them.
      processes: how many there are; given with `coordinator`.
      process: which this is, from 0; given with `coordinator`.
      seconds: how long to wait for them.
      met: called where there are others, as soon as there are the lines by which their death is
        noticed.

    Raises:
      UserError: the arguments do not go together, among the processes too; the environment does not
        tell; or not all came.
    """
    given = {"coordinator": coordinator, "num_processes": processes, "process_id": process}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if len(missing) == len(given):
        if _is_managed(os.environ):
            _detect(seconds, met)
        return
    if missing:
        raise UserError(
            f"{' and '.join(missing)} must be given too: --coordinator HOST:PORT, --num_processes "
            "N and --process_id I belong together."
        )
    address, count, own = str(coordinator), int(processes or 0), int(process or 0)
    _check(address, count, own)
    lines = _meet(address, count, own, seconds)
    if count > 1:
        met(lines, own == 0)
    _connect(f"at {address}", seconds, address, count, own)


def _is_managed(environment: Mapping[str, str]) -> bool:
    """Returns whether the environment should tell where others are.

    Raises:
      UserError: it is that of one of SLURM's tasks, of which it does not tell enough.
    """
    if any(name in environment for name in MANAGED) or importlib.util.find_spec("libtpu"):
        return True
    asked = environment.get("SLURM_NTASKS", "1")
    if not any(name in environment for name in ("SLURM_STEP_ID", "SLURM_STEP_NODELIST")):
        if asked != "1":  # the shell of salloc, or a script of sbatch
            print_warning(
                f"SLURM has room for {asked} tasks (SLURM_NTASKS), and this process, which srun "
                "did not start, is alone; srun starts one in each"
            )
        return False
    tasks = environment.get("SLURM_STEP_NUM_TASKS", asked)
    missing = [name for name in SLURM if name not in environment]
    if tasks != "1" and missing:
        raise UserError(
            f"this is one of {tasks} tasks of SLURM, and {', '.join(missing)}, by which they find "
            "each other, cannot be seen; srun sets them, and a container must hand them on. Or "
            "give --coordinator HOST:PORT, --num_processes N and --process_id I."
        )
    return tasks != "1"


def _detect(seconds: float, met: Met) -> None:
    if "JOB_COMPLETION_INDEX" in os.environ and not importlib.util.find_spec("kubernetes"):
        raise UserError(
            "this is a pod of an indexed job of Kubernetes (JOB_COMPLETION_INDEX is in the "
            "environment), whose others are found with the package kubernetes, which is not "
            "installed: pip install kubernetes, or give --coordinator HOST:PORT, --num_processes N "
            "and --process_id I."
        )
    try:
        _connect("that the environment names", seconds)
    except UserError:
        raise
    except (RuntimeError, ValueError) as error:
        if "coordinator_address should be defined" in str(error):  # a process that is alone
            _check_alone(os.environ)
            return
        raise UserError(
            f"the environment does not tell where the other processes are ({error}); give "
            "--coordinator HOST:PORT, --num_processes N and --process_id I."
        ) from error
    if multihost.count() > 1:
        met(_lines_of_detected(), multihost.is_first())


def _check_alone(environment: Mapping[str, str]) -> None:
    """Raises a UserError where Open MPI has started others, which JAX finds by release 4 alone."""
    count = environment.get("OMPI_COMM_WORLD_SIZE", "1")
    if count != "1":
        raise UserError(
            f"this is one of {count} processes of Open MPI (OMPI_COMM_WORLD_SIZE), and where the "
            "others are, OMPI_MCA_orte_hnp_uri, is not in the environment; give --coordinator "
            "HOST:PORT, --num_processes N and, from OMPI_COMM_WORLD_RANK, --process_id I."
        )


def _lines_of_detected() -> Lines:
    """Returns lines to processes that JAX has found, at a port of their own."""
    host = _own_address()
    with lifelines.listen(host, 0) as free:
        port = free.getsockname()[1]
    address = multihost.gathered(f"{host}:{port}")[0]
    try:
        return _meet(address, multihost.count(), jax.process_index(), _LINES_SECONDS)
    except UserError as error:
        print_warning(
            f"the end of another process is noticed late, after {HEARTBEAT_SECONDS} s: {error}"
        )
        return {}


def _own_address() -> str:
    """Returns where other machines find this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of nobody's, to which nothing is sent
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


def _meet(coordinator: str, processes: int, process: int, seconds: float) -> Lines:
    host, port = _host_and_port(coordinator)
    try:
        if process:
            return lifelines.reach(host, port, processes, process, seconds)
        with _listener(coordinator) as listener:
            return lifelines.gather(listener, processes, seconds)
    except TimeoutError as why:
        raise UserError(
            f"time-out: not all processes came to the coordinator at {coordinator} {why}. Start "
            "process 0 on that host, and all of --num_processes; and see that the port can be "
            "reached."
        ) from why


def _host_and_port(coordinator: str) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    return host.strip("[]"), int(port)


def _listener(coordinator: str) -> socket.socket:
    try:
        return lifelines.listen(*_host_and_port(coordinator))
    except OSError as error:
        raise UserError(
            f"--coordinator is {coordinator!r}, and this process cannot listen there "
            f"({error.strerror}): give all processes an address or the name of this host, or "
            "another port; or another process has --process_id 0 too."
        ) from error


def _check(coordinator: str, processes: int, process: int) -> None:
    port = re.fullmatch(r"(?:[^:\[\]]+|\[[^\[\]]+\]):([0-9]{1,5})", coordinator)
    if not port or not 0 < int(port[1]) < 1 << 16:
        raise UserError(
            f"--coordinator is {coordinator!r}; it must be HOST:PORT, the host of process 0 and a "
            "free port there, such as 10.0.0.1:1234; of IPv6, write [::1]:1234."
        )
    if not 0 < processes <= _MOST_PROCESSES:
        raise UserError(
            f"--num_processes is {processes}; it must be from 1 to {_MOST_PROCESSES:,}, the number "
            "of processes that are started."
        )
    if not 0 <= process < processes:
        raise UserError(
            f"--process_id is {process}; with --num_processes={processes} it must be from 0 to "
            f"{processes - 1}."
        )


def _check_devices() -> None:
    """Raises a UserError unless all processes have the same number of devices, at least one."""
    check_platforms()
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
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own comes after the wait
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            coordinator_bind_address=_bind_address(coordinator),
            initialization_timeout=int(seconds) + 60,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, interrupt)
    _check_devices()


def _bind_address(coordinator: str | None) -> str | None:
    """Returns the address at which JAX's service listens; None for all of the machine."""
    is_one = coordinator and lifelines.is_address(_host_and_port(coordinator)[0])
    return coordinator if is_one else None


def _give_up(where: str, seconds: float) -> None:
    print_error(
        f"time-out: not all processes came to the coordinator {where} within {seconds:g} "
        "seconds. Start process 0 on that host, and all of --num_processes; and see that the port "
        "can be reached."
    )
    os._exit(2)
