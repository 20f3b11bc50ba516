"""A run of two real processes on a set without labels, compared with one process."""

import os
import subprocess
import sys

import pytest
import tiny_tfds
from test_many_processes import EMULATE, ROOT, assert_same_curve, curve, finish

SETTINGS = {
    "model.name": "lenet5_modern",
    "data.name": tiny_tfds.NAME,
    "data.val_fraction": 0.25,
    "data.subtract_mean": "channel",
    "data.stratify": "never",
    "crop.resize_range": "32,36",
    "batch_size": 12,
    "epochs": 2,
    "write_report": False,
}

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path):
    """A function that starts a process with some devices on a set whose labels are not read."""
    records = tiny_tfds.prepare(tmp_path / "tfds")
    settings = SETTINGS | {"data.tfds_dir": records.parents[1]}
    flags = [f"--config.{key}={value}" for key, value in settings.items()]

    def start(workdir, devices, *more):
        arguments = ["--config=configs/lenet5.py:folder", *flags, *more, f"--workdir={workdir}"]
        return subprocess.Popen(
            [sys.executable, "train.py", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XLA_FLAGS": f"{EMULATE}={devices}"},
        )

    return start


def test_two_processes_have_the_curve_of_one(start, tmp_path, free_port):
    finish(start(tmp_path / "one", 4))
    common = [f"--coordinator=127.0.0.1:{free_port}", "--num-processes=2"]
    processes = [start(tmp_path / "two", 2, *common, f"--process-id={i}") for i in range(2)]
    output, _ = finish(processes[0])
    finish(processes[1])
    assert output.count("validation: 15 random images; labels of tiny_records are not indexed") == 1
    assert_same_curve(tmp_path / "two", curve(tmp_path / "one"))
