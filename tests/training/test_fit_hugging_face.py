"""Whole runs on parquet files, stopped and resumed, and their evaluation."""

import chex
import numpy as np
import pytest
from runs import stop_at
from tiny_tables import table, write_parquet

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit
from flax_vision.training.lr_finder import find_learning_rate
from flax_vision.training.signals import Interrupted

datasets = pytest.importorskip("datasets", reason="it is in the extra `hf`")
pytestmark = pytest.mark.slow

LABELS = ["dark", "light"] * 20


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A parquet file of dark and light images of 28x28 pixels."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    levels = [60, 190]
    images = [random.integers(0, 60, (28, 28), np.uint8) + levels[i % 2] for i in range(40)]
    images = [image.astype(np.uint8) for image in images]
    return write_parquet(tmp_path / "tones.parquet", table(images, LABELS))


def configuration(path, recipe="modern", **settings):
    settings = {"model.name": "lenet5_modern", "data.name": f"hf:{path}", "epochs": 2} | settings
    settings |= {"batch_size": 8, "write_report": False, "data.test_fraction": 0.2}
    arguments = [f"--config.{key}={value}" for key, value in settings.items()]
    return load_config(f"lenet5:{recipe}", arguments)


@pytest.mark.parametrize("recipe", ["modern", "folder"])
def test_run(recipe, path, tmp_path, monkeypatch):
    config = configuration(path, recipe)
    result = fit(config, tmp_path / "whole")
    assert result["test/images"] == 8
    found = evaluate(tmp_path / "whole")
    assert found.top1 == result["test/top1"]
    assert found.warnings == []
    assert evaluate(tmp_path / "whole", data=f"hf:{path}", split="validation").images == 4
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "stopped")
    fit(config, tmp_path / "stopped")
    chex.assert_trees_all_equal(fv.load(tmp_path / "stopped")[1], fv.load(tmp_path / "whole")[1])


def test_other_images_are_not_of_the_run(path, tmp_path, monkeypatch):
    config = configuration(path)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "run")
    images = np.random.default_rng(1).integers(0, 256, (40, 28, 28), np.uint8)
    write_parquet(path, table(list(images), LABELS))
    with pytest.raises(UserError, match="belongs to other images than there are now"):
        fit(config, tmp_path / "run")


def test_learning_rate(path):
    assert find_learning_rate(configuration(path), 1e-4, 1.0, 10).suggestion > 0
