"""The library without the folder of CPU kernels."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHOICE = 'return not _reference_only.get() and jax.default_backend() == "cpu"'


@pytest.fixture
def copy(tmp_path):
    """A copy of the package and its tests, without `ops/cpu`."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so", ".*_cache")
    for folder in ("flax_vision", "tests", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.rmtree(tmp_path / "flax_vision/ops/cpu")
    backend = tmp_path / "flax_vision/ops/backend.py"
    assert backend.read_text().count(CHOICE) == 1
    backend.write_text(backend.read_text().replace(CHOICE, "return False"))
    return tmp_path


@pytest.mark.slow
def test_the_models_equal_their_references_without_cpu_kernels(copy):
    """Runs the parity tests where PyTorch is installed, and the tests of the models elsewhere."""
    if importlib.util.find_spec("torch"):
        tests = ["tests/parity/test_papers.py"]
    else:
        tests = ["tests/models/test_lenet.py", "tests/models/test_resnet.py"]
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-m", "slow or not slow", *tests]
    command += ["-k", "not 1202", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    run = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert re.search(r"\d+ passed", run.stdout)
    assert "skipped" not in run.stdout
