"""The loggers in `examples/`, with the real libraries and without a network or a server."""

import json
import os
import runpy
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
MLFLOW_TABLES = pytest.mark.slow(reason="MLflow creates its tables")
NAMES = ("wandb", pytest.param("mlflow", marks=MLFLOW_TABLES), "trackio")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of the libraries


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """A directory in which each library stores its runs."""
    monkeypatch.chdir(tmp_path)
    settings = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "TRACKIO_DIR": str(tmp_path)}
    settings |= {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "GIT_PYTHON_REFRESH": "quiet"}
    settings |= {"WANDB_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def stored_wandb(storage: Path) -> dict:
    """Reads LevelDB's log: 7 bytes, then checksum, length, type and data of each record."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # waits for the process that writes the file
    (file,) = storage.glob("wandb/offline-run-*/*.wandb")
    content, found = file.read_bytes()[7:], {}
    while len(content) > 7:
        end = 7 + int.from_bytes(content[4:6], "little")
        record, content = Record.FromString(content[7:end]), content[end:]
        for items in (record.history.item, record.summary.update):
            values = {x.key or "/".join(x.nested_key): json.loads(x.value_json) for x in items}
            step = values.get("_step", values.get("step"))
            found |= {key: (value, step) for key, value in values.items()}
    return found


def stored_mlflow(storage: Path) -> dict:
    with sqlite3.connect(storage / "mlflow.db") as database:
        rows = database.execute("select key, value, step from metrics").fetchall()
        params = dict(database.execute("select key, value from params"))
    assert params["model.name"] == "lenet5_modern"
    return {key: (value, step) for key, value, step in rows}


def stored_trackio(storage: Path) -> dict:
    with sqlite3.connect(storage / "flax_vision.db") as database:
        rows = database.execute("select step, metrics from metrics").fetchall()
        ((config,),) = database.execute("select config from configs")
    assert json.loads(config)["model"]["name"] == "lenet5_modern"
    return {key: (x, step) for step, text in rows for key, x in json.loads(text).items()}


STORED = {"wandb": stored_wandb, "mlflow": stored_mlflow, "trackio": stored_trackio}
EXPECTED = {"running/loss": (0.5, 2), "train/loss": (0.25, 3), "test/top1": (0.75, 6)}


@pytest.mark.slow
@pytest.mark.parametrize("library", NAMES)
def test_logger_stores_the_run(library, storage):
    pytest.importorskip(library, reason=f"{library} is in the extra `loggers`")
    path = EXAMPLES / f"{library}_logger.py"
    logger = runpy.run_path(str(path))[f"{library.capitalize()}Logger"]()
    logger.on_start({"epochs": 2, "model": {"name": "lenet5_modern"}})
    logger.on_step(2, {"loss": 0.5})
    logger.on_epoch_end(1, {"epoch": 1, "step": 3, "train/loss": 0.25, "best_metric": "f1"})
    classes = [{"class": "a", "precision": 1.0, "recall": 0.5, "f1": 0.7, "support": 2}]
    other = {"stopped_early": "no better f1 for 2 epochs", "test/per_class": classes}
    logger.on_end({"step": 6, "test/top1": 0.75, **other})
    stored = STORED[library](storage)
    assert {key: stored[key] for key in EXPECTED} == EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("library", STORED)
def test_example_runs(library, storage):
    pytest.importorskip(library, reason=f"{library} is in the extra `loggers`")
    path = [str(EXAMPLES.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{library}_logger.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "TrainedModel(LeNet5Modern, 3 epochs, test top-1 " in done.stdout
    assert {"train/loss", "test/top1"} <= STORED[library](storage).keys()
