"""Connection to other processes; here they do not come, and JAX's service is replaced."""

import signal
import socket
import subprocess
import sys

import jax
import pytest

from flax_vision.errors import UserError
from flax_vision.runtime import distributed
from flax_vision.runtime.distributed import initialize

SLURM_STEP = {
    "SLURM_JOB_ID": "1",
    "SLURM_STEP_NODELIST": "node-1",
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NUM_TASKS": "2",
}
VARIABLES = (*SLURM_STEP, *distributed._TASK_COUNTS, "SLURM_STEP_ID", "JOB_COMPLETION_INDEX")


@pytest.fixture
def environment(monkeypatch):
    """An environment without a cluster, and a way to set its variables."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_arguments_and_cluster_the_process_stays_alone(environment):
    initialize()
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("host:1234", None, None), "--num-processes and --process-id must be given too"),
        ((None, 2, 0), "--coordinator must be given too"),
        (("host", 2, 0), "--coordinator is 'host'; it must be HOST:PORT"),
        (("host:0", 2, 0), "--coordinator is 'host:0'"),
        (("::1:1234", 2, 0), "--coordinator is '::1:1234'.*write .::1.:1234"),
        (("host:\u0661", 2, 0), "--coordinator is 'host:\u0661'"),
        (("host:1234", 0, 0), "--num-processes is 0; it must be from 1 to 10,000"),
        (("host:1234", 200_000_000, 0), "--num-processes is 200000000; it must be from 1 to"),
        (("host:1234", 2, 2), "--process-id is 2; with --num-processes=2 it must be from 0 to 1"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        initialize(*arguments)


@pytest.mark.parametrize("coordinator", ["10.0.0.1:1234", "node-1.cluster:80", "[fe80::1%eth0]:9"])
def test_valid_coordinators(coordinator):
    distributed._check_arguments(coordinator, 2, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "node-1"])
def test_port_in_use(host):
    with socket.create_server(("", 0)) as server:
        address = f"{host}:{server.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot listen.*free port.*only one.*--process-id 0"):
            initialize(address, 2, 0)


def test_address_of_another_host():
    with pytest.raises(UserError, match="is '192.0.2.1:1234', where.*cannot listen.*this host"):
        initialize("192.0.2.1:1234", 2, 0)


def test_jax_listens_at_a_given_address_only(monkeypatch):
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **more: calls.append(more))
    monkeypatch.setattr(distributed, "_exit_on_abort", lambda *args: distributed.threading.Event())
    for address in ("127.0.0.1:1234", "[::1]:1234", "localhost:1234", "node-1:1234"):
        initialize(address, 2, 1)
    found = [call["coordinator_bind_address"] for call in calls]
    assert found == ["127.0.0.1:1234", "[::1]:1234", "localhost:1234", None]
    assert {(call["num_processes"], call["process_id"]) for call in calls} == {(2, 1)}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (SLURM_STEP, True),
        (SLURM_STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "4"}, False),  # its shell
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, False),  # the shell of salloc
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, False),
        ({"JOB_COMPLETION_INDEX": "0"}, True),
        ({"SLURM_STEP_ID": "0", "SLURM_NTASKS": "4"}, True),  # a container hides the step's tasks
    ],
)
def test_clusters(variables, expected, environment):
    for name, value in variables.items():
        environment.setenv(name, value)
    assert distributed._is_in_cluster() == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SLURM_NTASKS": "4"}, "warning: SLURM_NTASKS is 4, and this process is alone"),
        ({"SLURM_NTASKS": "1"}, ""),
        ({"SLURM_NTASKS": "4", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"}, ""),
    ],
)
def test_process_beside_the_tasks_of_slurm_warns(variables, expected, environment, capsys):
    for name, value in variables.items():
        environment.setenv(name, value)
    initialize()
    errors = capsys.readouterr().err
    assert errors.startswith(expected)
    assert bool(errors) == bool(expected)


@pytest.mark.parametrize("name", ["SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"])
def test_process_of_a_cluster_that_jax_does_not_detect(name, environment, capsys):
    def connect(*arguments):
        raise ValueError("coordinator_address should be defined.")

    environment.setattr(distributed, "_connect", connect)
    environment.setenv(name, "2")
    with pytest.raises(UserError, match=f"\\(although {name} is 2\\); give --coordinator HOST"):
        initialize()
    environment.delenv(name)
    environment.setenv("JOB_COMPLETION_INDEX", "0")
    initialize()
    assert "JOB_COMPLETION_INDEX is 0, and this process is alone" in capsys.readouterr().err
    assert not jax.distributed.is_initialized()


def test_error_of_the_detection_is_named(environment):
    def connect(*arguments):
        raise RuntimeError("no such job")

    environment.setattr(distributed, "_connect", connect)
    environment.setenv("JOB_COMPLETION_INDEX", "0")
    with pytest.raises(UserError, match=r"other processes \(no such job\); give --coordinator"):
        initialize()


def run(source):
    """Returns the exit status and the lines that a program prints to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr.splitlines()


@pytest.mark.slow
def test_other_processes_do_not_come(free_port):
    status, errors = run(
        "from flax_vision.runtime.distributed import initialize; "
        f"initialize('127.0.0.1:{free_port}', 2, 1, timeout=0.5)"
    )
    assert status == 2
    (line,) = [line for line in errors if line.startswith("error: ")]
    assert f"coordinator at 127.0.0.1:{free_port}. Start process 0" in line
    assert "within 0.5 seconds" in line
    assert errors[-1] == line


ABORT = """
import ctypes, sys
from flax_vision.runtime import distributed
connected = distributed._exit_on_abort(lambda: print({text}, file=sys.stderr, flush=True), "late")
{set}
ctypes.CDLL(None).abort()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("connect", "text", "expected"),
    [
        ("connected.set()", "'lost'", (1, "lost")),
        ("", "'lost'", (2, "error: late")),
    ],
)
def test_abort_sets_the_status_after_a_last_line(connect, text, expected):
    status, errors = run(ABORT.format(set=connect, text=text))
    assert (status, errors[-1]) == expected


@pytest.mark.slow
def test_abort_ends_a_process_whose_last_line_fails():
    assert run(ABORT.format(set="connected.set()", text="1 / 0")) == (1, [])


@pytest.mark.slow
def test_abort_of_a_process_that_stays_alone_has_no_handler():
    status, errors = run(
        "import ctypes, os\n"
        "from flax_vision.runtime.distributed import initialize\n"
        "os.environ['JOB_COMPLETION_INDEX'] = '0'\n"
        "initialize()\n"
        "ctypes.CDLL(None).abort()"
    )
    assert status == -signal.SIGABRT
    assert all("this process is alone" in line for line in errors)


def test_error_of_one_process_ends_it_without_waiting():
    status, errors = run(
        "import jax\n"
        "from flax_vision.runtime import distributed\n"
        "distributed.exit_without_waiting(5)"
    )
    assert (status, errors) == (5, [])
