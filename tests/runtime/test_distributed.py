"""Processes that look for each other; those of a run are threads here, without JAX's service."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest

from flax_vision.errors import UserError
from flax_vision.runtime import distributed
from flax_vision.runtime.distributed import join

IN_A_STEP = dict.fromkeys(distributed.SLURM, "1") | {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"}


@pytest.fixture
def alone(monkeypatch):
    """An environment that knows of no others."""
    for name in (*distributed.MANAGED, *distributed.SLURM, "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_anything_given_and_no_cluster_it_stays_alone(alone):
    join(met=lambda lines, is_first: pytest.fail("there are no others"))
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
def test_arguments_that_do_not_go_together(arguments, message):
    with pytest.raises(UserError, match=message):
        join(*arguments)


def test_port_that_is_taken():
    with socket.create_server(("", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot listen.*another port.*--process-id 0 too"):
            join(address, 2, 0)


def test_pod_of_kubernetes_without_its_package(alone):
    alone.setenv("JOB_COMPLETION_INDEX", "0")
    alone.setattr(distributed.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install kubernetes, or give --coordinator"):
        join()


def meet(*processes, seconds=20.0):
    """Returns what each of these pairs of --num-processes and --process-id comes to."""

    def one(count, own):
        try:
            return sorted(distributed._meet(address, count, own, seconds))
        except UserError as error:
            return str(error)

    with socket.create_server(("", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with ThreadPoolExecutor() as threads:
        return list(threads.map(one, *zip(*processes, strict=True)))


def test_processes_that_fit_together_have_a_line_to_the_first():
    assert meet((3, 0), (3, 1), (3, 2)) == [[1, 2], [0], [0]]


@pytest.mark.parametrize("own", [0, 1])
def test_lines_are_watched_before_jax_waits_for_the_others(own, monkeypatch, free_port):
    address, calls = f"127.0.0.1:{free_port}", []
    monkeypatch.setattr(distributed, "_connect", lambda *given: calls.append("JAX"))
    with ThreadPoolExecutor() as threads:
        other = threads.submit(distributed._meet, address, 2, 1 - own, 20.0)
        join(address, 2, own, 20.0, lambda lines, is_first: calls.append((list(lines), is_first)))
        assert list(other.result()) == [own]
    assert calls == [([1 - own], own == 0), "JAX"]


def test_different_numbers_of_processes_are_named_by_both():
    mistake = "--num-processes is 2 in process 0 and 3 in process 1; give all the same."
    assert meet((2, 0), (3, 1)) == [mistake, mistake]


def test_process_that_is_there_twice_is_named_by_all():
    mistake = "--process-id is 1 in two processes; give each its own, from 0 on."
    assert meet((3, 0), (3, 1), (3, 1)) == [mistake] * 3


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\n",
        b"1" * 5000 + b" 1\n",  # more digits than int takes
        b"2 1\n",
        b"3 1\n",
        b"2 99 flax_vision\n",
        b"2 -1 flax_vision\n",
        "2 \u0661 flax_vision\n".encode(),  # a digit too, in Arabic
        b"2 1 flax",  # half a line
        b"\xff",
        b"",
    ],
)
def test_what_is_no_process_of_the_run_is_let_alone(words, free_port):
    address = f"127.0.0.1:{free_port}"
    with ThreadPoolExecutor() as threads:
        first = threads.submit(distributed._meet, address, 2, 0, 20.0)
        while True:
            try:
                stranger = socket.create_connection(("127.0.0.1", free_port))
                break
            except ConnectionRefusedError:
                pass
        stranger.sendall(words)
        assert list(distributed._meet(address, 2, 1, 20.0)) == [0]
        assert list(first.result()) == [1]
        stranger.close()


@pytest.mark.parametrize("words", [b"\0\0\x12\x04 as gRPC does\n", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_what_answers_is_no_first_process(words):
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        late = threads.submit(distributed._meet, address, 2, 1, 20.0)
        connection, _ = server.accept()
        connection.sendall(words)
        with pytest.raises(UserError, match="not the first process of a run that waits for proc"):
            late.result()
        connection.close()


def test_service_of_jax_listens_at_the_given_address_only(monkeypatch):
    asked = []
    monkeypatch.setattr(
        jax.distributed, "initialize", lambda *at, **settings: asked.append(settings)
    )
    for address in ("127.0.0.1:1234", "[::1]:1234", "localhost:1234", "node-1:1234", None):
        distributed._connect("there", 20.0, address, 2, 0)
    found = [settings["coordinator_bind_address"] for settings in asked]
    assert found == ["127.0.0.1:1234", "[::1]:1234", "localhost:1234", None, None]


def test_address_of_another_host_is_named():
    with pytest.raises(UserError, match="is '192.0.2.1:1234'.*cannot listen there.*of this host"):
        join("192.0.2.1:1234", 2, 0)


def test_time_out_of_the_first_is_that_of_those_that_came(free_port):
    def one(process, seconds):
        with pytest.raises(UserError, match="time-out") as error:
            distributed._meet(f"127.0.0.1:{free_port}", 3, process, seconds)
        return str(error.value)

    with ThreadPoolExecutor() as threads:
        first, other = threads.map(one, (0, 1), (1.0, 20.0))
    assert first == other
    assert "within 1 seconds (process 2 did not)" in first


def test_what_hangs_up_is_called_again_until_the_time_is_out():
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        late = threads.submit(distributed._meet, address, 2, 1, 0.5)
        for _ in range(2):
            server.accept()[0].close()
        with pytest.raises(UserError, match="within 0.5 seconds .process 0 did not"):
            late.result()


@pytest.mark.parametrize(("process", "missing"), [(0, "process 1, 2"), (1, "process 0")])
def test_others_that_do_not_come_are_a_time_out_with_the_address(process, missing, free_port):
    address = f"127.0.0.1:{free_port}"
    message = f"time-out.* coordinator at {address} within 0.1 seconds .{missing} did not"
    with pytest.raises(UserError, match=message):
        join(address, 3, process, seconds=0.1)
    assert not jax.distributed.is_initialized()


def test_environment_that_names_others_who_do_not_come(alone, free_port):
    """JAX itself waits for them, and would end with a page of C++."""
    source = (
        "from flax_vision import joining; "
        f"joining._connect('that it names', 0.5, '127.0.0.1:{free_port}', 2, 1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "came to the coordinator that it names within 0.5 seconds" in line
    assert "Traceback" not in done.stderr


def test_tasks_of_slurm_have_others():
    assert distributed._is_managed(IN_A_STEP)


@pytest.mark.parametrize("name", [name for name in distributed.SLURM if "STEP" not in name])
def test_task_of_slurm_that_cannot_tell_is_an_error(name):
    environment = IN_A_STEP | {"SLURM_STEP_NUM_TASKS": "2"}
    del environment[name]
    with pytest.raises(UserError, match=f"one of 2 tasks of SLURM, and {name}, by which.* srun"):
        distributed._is_managed(environment)


@pytest.mark.parametrize(
    ("environment", "warning"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, ""),  # sbatch
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, "room for 4 tasks"),  # the shell of salloc
        (IN_A_STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "4"}, ""),  # its shell in a step
        ({"SLURM_STEP_ID": "0"}, ""),
    ],
)
def test_process_that_slurm_has_started_alone(environment, warning, capsys):
    assert not distributed._is_managed(environment)
    errors = capsys.readouterr().err
    assert (warning in errors) if warning else not errors


@pytest.mark.parametrize("coordinator", ["10.0.0.1:1234", "node-1.cluster:80", "[fe80::1%eth0]:9"])
def test_addresses_of_hosts(coordinator):
    distributed._check(coordinator, 2, 0)


def test_process_of_open_mpi_that_cannot_find_the_others(alone):
    def find_none(*arguments):
        raise ValueError("coordinator_address should be defined.")

    alone.setattr(distributed, "_connect", find_none)  # JAX refuses where it has computed before
    alone.setenv("OMPI_COMM_WORLD_RANK", "0")
    alone.setenv("OMPI_COMM_WORLD_SIZE", "1")
    join(met=lambda lines, is_first: pytest.fail("there are no others"))
    alone.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one of 2 processes of Open MPI .*give --coordinator"):
        join()
    assert not jax.distributed.is_initialized()
