"""Runs of two real processes with two devices each, compared with one process of four."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from test_divided_state import functions_on, numbers

from flax_vision.training.checkpoints import Checkpoints

ROOT = Path(__file__).parents[2]
# The last of the batches of 256 has 88 of the 3,160 validation images, all in the first process.
SETTINGS = ["batch_size=256", "epochs=3", "data.val_fraction=0.79", "write_report=False"]
SETTINGS += ["model.name=lenet5_modern", "checkpoint.save_interval_secs=0"]
EMULATE = "--xla_force_host_platform_device_count"
GLOO = re.compile(
    r"\[Gloo\] Rank | is connected to | peer ranks\. "
    r"|Expected number of connected peer ranks is : |[0-3]"
)
CLOCKS = {"epoch_seconds", "train_seconds", "images_per_second", "input_wait_fraction"}

pytestmark = pytest.mark.slow


def start(workdir: Path, devices: int, *more: str, **environment: str) -> subprocess.Popen:
    arguments = [f"--config.{setting}" for setting in SETTINGS] + [f"--workdir={workdir}", *more]
    return subprocess.Popen(
        [sys.executable, "train.py", "--config=configs/lenet5.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XLA_FLAGS": f"{EMULATE}={devices}", **environment},
    )


def start_two(workdir: Path, port: int, *more_of_second: str) -> list[subprocess.Popen]:
    common = [f"--coordinator=127.0.0.1:{port}", "--num-processes=2"]
    return [
        start(workdir, 2, *common, f"--process-id={index}", *(more_of_second if index else ()))
        for index in range(2)
    ]


def finish(process: subprocess.Popen, status: int = 0) -> tuple[str, str]:
    output, errors = process.communicate(timeout=600)  # a busy machine may take minutes
    assert process.returncode == status, output + errors
    return output, errors


def without_gloo(output: str) -> str:
    """Returns the output without Gloo's lines; its threads mix their pieces, such as 3."""
    return GLOO.sub("", output).strip()


def curve(workdir: Path) -> list[dict]:
    """Returns the records of a run without their times."""
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{key: record[key] for key in record.keys() - CLOCKS} for record in records]


def assert_same_curve(workdir: Path, expected: list[dict]) -> None:
    found = curve(workdir)
    assert len(found) == len(expected)
    rows = "test/per_class"  # which approx does not compare
    for one, other in zip(found, expected, strict=True):
        assert one.pop(rows, None) == other.get(rows)
        assert one == pytest.approx({k: x for k, x in other.items() if k != rows}, rel=1e-5)


def wait_for_step(workdir: Path, step: int, processes: list[subprocess.Popen]) -> None:
    deadline = time.monotonic() + 200
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


def test_two_processes_have_the_curve_of_one_and_only_the_first_prints(
    tmp_path, free_port, expected
):
    first, second = start_two(tmp_path / "two", free_port)
    assert "epoch 3/3" in finish(first)[0]
    assert without_gloo(finish(second)[0]) == ""
    assert_same_curve(tmp_path / "two", expected)
    assert (tmp_path / "two/export").is_dir()


@pytest.mark.parametrize("killed", [0, 1])
def test_killed_process_ends_the_other_and_the_run_resumes_as_two_or_one(
    killed, tmp_path, free_port, expected
):
    workdir = tmp_path / "two"
    processes = start_two(workdir, free_port)
    wait_for_step(workdir, 4, processes)
    processes[killed].kill()
    killed_at = time.monotonic()
    _, errors = processes[1 - killed].communicate(timeout=60)
    assert time.monotonic() - killed_at < 30
    assert processes[1 - killed].returncode == 1
    last = errors.splitlines()[-1]
    assert "error: another process of this run ended" in last
    (step,) = re.findall("The last checkpoint is step (.+) in ", last)
    assert int(step) >= 4
    assert re.search(rf"python train.py --config=.* --process-id={1 - killed}$", last)
    processes[killed].communicate()

    shutil.copytree(workdir, tmp_path / "one")
    assert "resuming from step" in finish(start(tmp_path / "one", 4))[0]
    assert_same_curve(tmp_path / "one", expected)
    for process in start_two(workdir, free_port):
        finish(process)
    assert_same_curve(workdir, expected)


WAIT = """
import sys, time
from flax_vision.runtime import distributed
on_loss = lambda: print("the last line", flush=True)
distributed.initialize(sys.argv[1], 2, int(sys.argv[2]), on_loss=on_loss)
print("connected", flush=True)
{what}
"""


@pytest.mark.parametrize("killed", [0, 1])
@pytest.mark.parametrize("what", ["time.sleep(100)", "while True: pass", ""])
def test_killed_process_ends_one_that_waits_computes_or_exits(killed, what, free_port):
    """Without further code the process waits in JAX's own exit for the other."""
    programs = [WAIT.format(what="time.sleep(100)" if own == killed else what) for own in (0, 1)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, f"127.0.0.1:{free_port}", str(own)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own, program in enumerate(programs)
    ]
    for process in processes:
        while process.stdout.readline() != "connected\n":  # after the lines of Gloo
            assert process.poll() is None
    processes[killed].kill()
    killed_at = time.monotonic()
    output, _ = processes[1 - killed].communicate(timeout=60)
    assert time.monotonic() - killed_at < 30
    assert output.splitlines()[-1] == "the last line"
    assert processes[1 - killed].returncode == 1
    processes[killed].communicate()


def test_stopped_run_is_saved_by_all_and_resumes_as_one(tmp_path, free_port, expected):
    workdir = tmp_path / "two"
    processes = start_two(workdir, free_port)
    wait_for_step(workdir, 2, processes)
    processes[1].terminate()
    output, _ = finish(processes[0], 143)
    assert "stopped by SIGTERM after step" in output
    assert without_gloo(finish(processes[1], 143)[0]) == ""
    finish(start(workdir, 4))
    assert_same_curve(workdir, expected)


def test_processes_stop_early_together_and_one_continues(tmp_path, free_port, expected):
    common = [f"--coordinator=127.0.0.1:{free_port}", "--num-processes=2"]
    common += ["--config.stop.after_minutes=0.0001"]
    processes = [start(tmp_path, 2, *common, f"--process-id={index}") for index in range(2)]
    assert "stopped early after 1 of 3 epochs: 0.0001 minutes" in finish(processes[0])[0]
    finish(processes[1])
    output, _ = finish(start(tmp_path, 4))
    assert ": config.stop.after_minutes 0.0001 -> 0.0; the past epochs stay as they are" in output
    assert_same_curve(tmp_path, expected)


def test_processes_with_different_configurations(tmp_path, free_port):
    for process in start_two(tmp_path / "two", free_port, "--config.seed=1"):
        _, errors = finish(process, 2)
        (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
        assert "config.seed is 0 in process 0 and 1 in process 1" in line
    assert not (tmp_path / "two").exists()


def test_different_numbers_of_processes(tmp_path, free_port):
    for process in start_two(tmp_path / "two", free_port, "--num-processes=3"):
        _, errors = finish(process, 2)
        assert "--num-processes is 2 in process 0 and 3 in process 1" in errors.splitlines()[-1]


def test_same_index_twice_ends_that_process(tmp_path, free_port):
    common = [f"--coordinator=127.0.0.1:{free_port}", "--num-processes=3"]
    first = start(tmp_path, 1, *common, "--process-id=0")
    twins = [start(tmp_path, 1, *common, "--process-id=1") for _ in range(2)]
    while all(twin.poll() is None for twin in twins):
        time.sleep(0.1)
    (ended,) = [twin for twin in twins if twin.poll() is not None]
    assert "each with its own --process-id" in finish(ended, 2)[1].splitlines()[-1]
    for process in (first, *twins):
        process.kill()
        process.communicate()


def test_error_of_the_first_process_ends_all(tmp_path, free_port):
    workdir = tmp_path / "two"
    finish(start(workdir, 1, "--config.seed=1"))
    for process in start_two(workdir, free_port):
        assert "error: run directory" in finish(process, 2)[1]


def test_processes_with_different_numbers_of_devices(tmp_path, free_port):
    common = [f"--coordinator=127.0.0.1:{free_port}", "--num-processes=2"]
    for process in [start(tmp_path, n, *common, f"--process-id={n - 1}") for n in (1, 2)]:
        _, errors = finish(process, 2)
        assert "different numbers of devices: process 0 has 1, process 1 has 2" in errors
        assert "Traceback" not in errors


def test_tasks_of_slurm_connect(tmp_path):
    with socket.create_server(("", 0)) as server:  # JAX derives its port from the job
        job = server.getsockname()[1] % 2**12
    step = {"SLURM_JOB_ID": str(job), "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "localhost"}
    step |= {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}
    tasks = [{"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)} for task in range(2)]
    run = tmp_path / "run"
    first, second = [start(run, 2, "--config.epochs=1", **step, **task) for task in tasks]
    output, errors = finish(first)
    assert "mesh: data 4" in output
    assert "warning" not in errors + finish(second)[1]


SAVE = """
import sys
from pathlib import Path
import numpy as np, jax
from flax_vision.runtime import distributed, multihost
from flax_vision.training.checkpoints import Checkpoints
distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from test_divided_state import after_a_step
state, expected = after_a_step(4, True)
checkpoints = Checkpoints(Path(sys.argv[3]) / "checkpoints", 1, lambda: None)
checkpoints.save(1, state, [])
checkpoints.close()
if multihost.is_primary():
    np.savez(Path(sys.argv[3]) / "expected.npz", *jax.tree.leaves(expected))
"""


def test_checkpoint_of_two_processes_is_restored_in_one_to_the_bit(tmp_path, free_port):
    environment = {**os.environ, "XLA_FLAGS": f"{EMULATE}=2"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    arguments = [sys.executable, "-c", SAVE, f"127.0.0.1:{free_port}"]
    pipe = subprocess.PIPE
    for process in [
        subprocess.Popen(
            [*arguments, str(own), str(tmp_path)], env=environment, stdout=pipe, stderr=pipe
        )
        for own in range(2)
    ]:
        finish(process)
    with np.load(tmp_path / "expected.npz") as file:
        expected = [file[name] for name in file.files]
    checkpoints = Checkpoints(tmp_path / "checkpoints", 1, lambda: None)
    for devices in ((1, False), (2, True)):
        restored, _ = checkpoints.restore(1, functions_on(*devices).state)
        chex.assert_trees_all_equal(jax.tree.leaves(numbers(restored)), expected)
    checkpoints.close()
