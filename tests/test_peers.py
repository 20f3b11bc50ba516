"""One process alone, and one whose others do not come."""

import socket
import subprocess
import sys

import jax
import pytest

from flax_vision import peers
from flax_vision.errors import UserError


def test_alone_it_agrees_with_itself():
    assert peers.agreed(3, 0) == (3, 0)
    assert peers.gathered("ä") == ["ä"]
    assert peers.is_first()
    assert peers.leave(2) == 2
    peers.check_same({"seed": 0})


def test_what_the_first_does_returns_or_raises():
    def fail():
        raise UserError("wrong")

    assert peers.first_only(lambda: 5) == 5
    with pytest.raises(UserError, match="wrong"):
        peers.first_only(fail)


def test_without_anything_given_and_no_cluster_it_stays_alone(monkeypatch):
    for name in peers._MANAGED:
        monkeypatch.delenv(name, raising=False)
    peers.join()
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("host:1234", None, None), "--num_processes and --process_id must be given too"),
        ((None, 2, 0), "--coordinator must be given too"),
        (("host", 2, 0), "--coordinator is 'host'; it must be HOST:PORT"),
        (("host:0", 2, 0), "--coordinator is 'host:0'"),
        (("host:1234", 0, 0), "--num_processes is 0"),
        (("host:1234", 2, 2), "--process_id is 2; with --num_processes=2 it must be from 0 to 1"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message):
    with pytest.raises(UserError, match=message):
        peers.join(*arguments)


def test_port_that_is_taken():
    with socket.create_server(("", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot listen at port .*give another port"):
            peers.join(address, 2, 0)


def test_pod_of_kubernetes_without_its_package(monkeypatch):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install kubernetes, or give --coordinator"):
        peers.join()


@pytest.mark.parametrize("process", [0, 1])
def test_others_that_do_not_come_are_a_time_out_with_the_address(process, free_port):
    address = f"127.0.0.1:{free_port}"
    source = f"from flax_vision import peers; peers.join({address!r}, 2, {process}, seconds=0.5)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert f"came to the coordinator at {address} within 0.5 seconds" in line
    assert "Traceback" not in done.stderr
