"""`train.py` in real processes: kills, signals and full disks."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import pytest

import flax_vision as fv

ROOT = Path(__file__).parents[2]
SMALL = ["--config.batch_size=256", "--config.epochs=3", "--config.data.val_fraction=0.8"]
SMALL.append("--config.write_report=False")


def start(workdir: Path, *more: str) -> subprocess.Popen:
    arguments = [sys.executable, "train.py", "--config=configs/lenet5.py", *SMALL, *more]
    return subprocess.Popen(
        [*arguments, f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )


def finish(process: subprocess.Popen, status: int = 0) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == status, output
    return output


def wait_for_step(workdir: Path, step: int, process: subprocess.Popen) -> None:
    """Waits for a checkpoint of at least this step."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        names = [path.name for path in (workdir / "checkpoints").glob("*")]
        if any(name.isdigit() and int(name) >= step for name in names):
            return
        time.sleep(0.005)
    pytest.fail(f"no checkpoint of step {step}: {process.communicate()[0]}")


@pytest.mark.slow
def test_killed_run_ends_with_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    every_step = "--config.checkpoint.save_interval_secs=0"
    finish(start(whole, every_step))

    process = start(killed, every_step)
    wait_for_step(killed, 2, process)
    process.kill()
    finish(process, -signal.SIGKILL)

    process = start(killed, every_step)
    wait_for_step(killed, 5, process)
    process.terminate()
    output = finish(process, 128 + signal.SIGTERM)
    assert "stopped by SIGTERM after step" in output
    assert "Give the same command again to resume." in output

    output = finish(start(killed, every_step))
    assert "resuming from step" in output
    chex.assert_trees_all_equal(fv.load(killed)[1], fv.load(whole)[1])
    results = [json.loads((run / "result.json").read_text()) for run in (whole, killed)]
    assert results[0]["test/loss"] == results[1]["test/loss"]
    assert len(json.loads((killed / "launches.json").read_text())) == 3


def can_mount() -> bool:
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(command, capture_output=True).returncode
    )


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="a small file system needs user namespaces")
def test_full_disk_is_an_error_and_earlier_checkpoints_stay_whole(tmp_path):
    script = (
        f"mount -t tmpfs -o size=1300k tmpfs {tmp_path} || exit 9; "
        f"{sys.executable} train.py --config=configs/lenet5.py {' '.join(SMALL)} "
        f"--config.checkpoint.save_interval_secs=0 --workdir={tmp_path}/run; "
        f"status=$?; ls {tmp_path}/run/checkpoints; exit $status"
    )
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    # The first in a process may say before that oneDNN's handlers are compiled.
    assert re.search("^error: .*No space left on device", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["1", "2"]
