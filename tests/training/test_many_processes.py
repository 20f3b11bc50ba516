"""Two real processes of two devices each, against one of four."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = ["batch_size=256", "epochs=3", "data.validation=0.8", "report=False"]
SETTINGS += ["model.name=lenet5_modern", "checkpoint.every_seconds=0"]
CLOCKS = {"seconds", "images_per_second", "waiting"}

pytestmark = pytest.mark.slow


def start(workdir: Path, devices: int, *more: str) -> subprocess.Popen:
    arguments = [f"--config.{setting}" for setting in SETTINGS] + [f"--workdir={workdir}", *more]
    return subprocess.Popen(
        [sys.executable, "train.py", "--config=configs/lenet5.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"},
    )


def start_two(workdir: Path, port: int, *of_the_second: str) -> list[subprocess.Popen]:
    others = [f"--coordinator=127.0.0.1:{port}", "--num_processes=2"]
    return [
        start(workdir, 2, *others, f"--process_id={process}", *(of_the_second if process else ()))
        for process in range(2)
    ]


def finish(process: subprocess.Popen, status: int = 0) -> tuple[str, str]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == status, output + errors
    return output, errors


def curve(workdir: Path) -> list[dict]:
    """Returns what a run came to after each epoch and at its end, without its times."""
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{key: record[key] for key in record.keys() - CLOCKS} for record in records]


def assert_same_curve(workdir: Path, expected: list[dict]) -> None:
    found = curve(workdir)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def wait_for_step(workdir: Path, step: int, processes: list[subprocess.Popen]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        names = [path.name for path in (workdir / "checkpoints").glob("*")]
        if any(name.isdigit() and int(name) >= step for name in names):
            return
        time.sleep(0.005)
    pytest.fail(f"no checkpoint of step {step}: {[p.communicate() for p in processes]}")


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> list[dict]:
    """The curve of one process with four devices."""
    workdir = tmp_path_factory.mktemp("runs") / "one"
    finish(start(workdir, 4))
    return curve(workdir)


def test_two_processes_have_the_curve_of_one_and_the_first_alone_speaks(
    tmp_path, free_port, expected
):
    first, second = start_two(tmp_path / "two", free_port)
    assert "epoch 3/3" in finish(first)[0]
    lines = finish(second)[0].splitlines()
    assert [line for line in lines if not line.startswith("[Gloo]")] == []
    assert_same_curve(tmp_path / "two", expected)
    assert (tmp_path / "two/export").is_dir()


@pytest.mark.parametrize("killed", [0, 1])
def test_killed_run_ends_in_all_processes_and_goes_on_as_two_or_one(
    killed, tmp_path, free_port, expected
):
    workdir = tmp_path / "two"
    processes = start_two(workdir, free_port)
    wait_for_step(workdir, 4, processes)
    processes[killed].kill()
    killed_at = time.monotonic()
    _, errors = processes[1 - killed].communicate(timeout=60)
    assert time.monotonic() - killed_at < 60
    assert processes[1 - killed].returncode not in (0, None)
    assert "another process of this run has ended" in errors or "another task died" in errors
    processes[killed].communicate()

    shutil.copytree(workdir, tmp_path / "one")
    assert "going on from step" in finish(start(tmp_path / "one", 4))[0]
    assert_same_curve(tmp_path / "one", expected)
    for process in start_two(workdir, free_port):
        finish(process)
    assert_same_curve(workdir, expected)


def test_stopped_run_is_saved_by_all_and_goes_on_as_one(tmp_path, free_port, expected):
    workdir = tmp_path / "two"
    processes = start_two(workdir, free_port)
    wait_for_step(workdir, 2, processes)
    processes[1].terminate()
    output, _ = finish(processes[0], 143)
    assert "stopped by SIGTERM after step" in output
    finish(processes[1], 143)
    finish(start(workdir, 4))
    assert_same_curve(workdir, expected)


def test_processes_with_different_configurations(tmp_path, free_port):
    for process in start_two(tmp_path / "two", free_port, "--config.seed=1"):
        _, errors = finish(process, 2)
        (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
        assert "config.seed is 0 in process 0 and 1 in process 1" in line
    assert not (tmp_path / "two").exists()


def test_mistake_that_the_first_finds_is_that_of_all(tmp_path, free_port):
    workdir = tmp_path / "two"
    finish(start(workdir, 1, "--config.epochs=1"))
    for process in start_two(workdir, free_port):
        assert "error: run directory" in finish(process, 2)[1]


def test_processes_with_different_numbers_of_devices(tmp_path, free_port):
    others = [f"--coordinator=127.0.0.1:{free_port}", "--num_processes=2"]
    for process in [start(tmp_path, n, *others, f"--process_id={n - 1}") for n in (1, 2)]:
        _, errors = finish(process, 2)
        assert "as many devices each: process 0 has 1, process 1 has 2" in errors
        assert "Traceback" not in errors
