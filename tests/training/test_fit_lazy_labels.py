"""Whole runs on a set that counts as large, so that its labels come with the images."""

import json
from pathlib import Path

import chex
import numpy as np
import pytest
import tiny_tfds
from runs import LineRecorder, read_metrics, stop_at
from tiny_folders import ignore

import flax_vision as fv
from flax_vision.data import tfds_records
from flax_vision.data.label_index import write_labels
from flax_vision.data.tfds import tfds_loaders
from flax_vision.data.tfds_records import TfdsRecords
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit
from flax_vision.training.signals import Interrupted

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "model.name": "lenet5_modern",
    "data.name": tiny_tfds.NAME,
    "data.val_fraction": 0.25,
    "batch_size": 12,
    "epochs": 2,
    "crop.resize_range": "32,36",
    "data.subtract_mean": "channel",
    "write_report": False,
}
TIMES = {"epoch_seconds", "train_seconds", "input_wait_fraction", "images_per_second"}
NOTE = "validation: 15 random images; labels of tiny_records are not indexed"

pytestmark = pytest.mark.slow


def flags(records, **settings):
    settings = SETTINGS | {"data.tfds_dir": records.parents[1]} | settings
    return [f"--config.{key}={value}" for key, value in settings.items()]


def configuration(records, **settings):
    return load_config(str(ROOT / "configs/lenet5.py:folder"), flags(records, **settings))


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(tfds_records, "_MAX_SCANNED_RECORDS", 10)


@pytest.fixture
def records(tmp_path, large):
    """The directory of a set's records, without known labels."""
    return tiny_tfds.prepare(tmp_path / "tfds")


def index_labels(records):
    """Writes the index of labels."""
    for split in ("train", "test"):
        images = tfds_loaders(
            tiny_tfds.NAME, str(records.parents[1]), ignore, tiny_tfds.DECODE_CONFIG
        )[split]()
        write_labels(records, split, np.asarray(images.labels))


def without_times(result):
    return {key: value for key, value in result.items() if key not in TIMES}


def test_run_without_known_labels(records, tmp_path, monkeypatch):
    monkeypatch.setattr(TfdsRecords, "enumerate", pytest.fail)
    lines = LineRecorder()
    result = fit(configuration(records), tmp_path / "run", lines)
    assert lines.text.count(NOTE) == 1
    assert result["test/images"] == 9
    assert "train/imbalance" not in result
    assert [record["step"] for record in read_metrics(tmp_path / "run")] == [3, 6, 6]
    recorded = json.loads((tmp_path / "run/dataset.json").read_text())
    assert {split: x["*"][0] for split, x in recorded.items()} == {
        **{"train": 45, "validation": 15, "test": 9}
    }
    for split, images in (("validation", 15), ("test", 9)):
        found = evaluate(tmp_path / "run", split=split)
        assert found.images == images
        assert found.top1 == pytest.approx(result[f"{split}/top1"])
        assert set(found.labels.tolist()) <= {0, 1, 2}
        assert not found.warnings


def test_resumed_run_has_the_bits_of_an_unstopped_one(records, tmp_path, monkeypatch):
    """It keeps its random split, although an index of labels was written meanwhile."""
    config = configuration(records)
    whole = fit(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    index_labels(records)
    resumed = fit(config, tmp_path / "stopped")
    assert without_times(resumed) == without_times(whole)
    chex.assert_trees_all_equal(fv.load(tmp_path / "stopped")[1], fv.load(tmp_path / "whole")[1])
    lines = LineRecorder()
    other = fit(config, tmp_path / "indexed", lines)
    assert NOTE not in lines.text
    assert "train/imbalance" in other


def test_stratified_run_stays_stratified_without_its_index(records, tmp_path, monkeypatch):
    index_labels(records)
    config = configuration(records)
    whole = fit(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    for file in records.glob("*.npy"):
        file.unlink()
    resumed = fit(config, tmp_path / "stopped")
    assert without_times(resumed) == without_times(whole)


@pytest.mark.parametrize(
    "settings", [{"data.sampler": "balanced"}, {"loss.class_weights": "balanced"}]
)
def test_features_that_need_all_labels_read_them(settings, records, tmp_path):
    lines = LineRecorder()
    result = fit(configuration(records, **settings), tmp_path / "run", lines)
    assert NOTE not in lines.text
    assert result["train/imbalance"] >= 1


def test_other_split_is_another_configuration(records, tmp_path):
    fit(configuration(records), tmp_path / "run")
    message = "data.stratify is 'auto' there and 'always' now"
    with pytest.raises(UserError, match=message):
        fit(configuration(records, **{"data.stratify": "always"}), tmp_path / "run")
