"""Whole runs on a table of labels: equal to the folder's, resumed, and tested."""

import shutil
from pathlib import Path

import chex
import pytest
from tiny_folders import write

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit

CONFIG = Path(__file__).parents[2] / "configs/lenet5.py:folder"

pytestmark = pytest.mark.slow


def train(workdir, images, **settings):
    settings = {
        **{"model.name": "lenet5_modern", "data.image_dir": images, "batch_size": 12, "epochs": 1},
        **{"crop.resize_range": "32,36", "write_report": False},
    } | {f"data.{key}": value for key, value in settings.items()}
    overrides = [f"--config.{key}={value}" for key, value in settings.items()]
    return fit(load_config(str(CONFIG), overrides), workdir)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Directory with a run on a folder, and a run on the record of its splits."""
    path = tmp_path_factory.mktemp("runs")
    write(path / "images", "abc", 20, ".jpg")
    train(path / "folder", path / "images")
    shutil.copy(path / "folder/splits.csv", path / "labels.csv")
    train(path / "table", path / "images", labels=path / "labels.csv")
    return path


def test_run_on_a_table_has_the_same_bits(runs):
    chex.assert_trees_all_equal(fv.load(runs / "folder")[1], fv.load(runs / "table")[1])
    splits = [(runs / name / "splits.csv").read_text() for name in ("folder", "table")]
    assert splits[0] == splits[1]


def test_moved_table_is_the_same_run_and_a_changed_one_is_not(runs, tmp_path):
    shutil.copytree(runs / "table", tmp_path / "run")
    lines = (runs / "labels.csv").read_text().splitlines()
    table = tmp_path / "moved.csv"
    table.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    train(tmp_path / "run", runs / "images", labels=table)
    result = tmp_path / "run/result.json"
    result.unlink()  # an unfinished run compares its images
    table.write_text("\n".join(lines).replace("b/3.jpg,b,", "b/3.jpg,a,"))
    with pytest.raises(UserError, match="other images .*'a' had 16 images and has 17"):
        train(tmp_path / "run", runs / "images", labels=table)


def test_evaluation(runs, tmp_path):
    own = evaluate(runs / "table")
    assert (own.images, own.warnings) == (6, [])
    assert own.top1 == evaluate(runs / "folder").top1
    table = tmp_path / "other.csv"
    table.write_text("file;class\na/0.jpg;a\nb/1.jpg;c\n")
    other = evaluate(runs / "table", labels=str(table))
    assert [*other.paths] == ["a/0.jpg", "b/1.jpg"]
    assert other.labels.tolist() == [0, 2]


def test_evaluation_of_some_classes(runs):
    train(runs / "some", runs / "images", labels=runs / "labels.csv", classes="c,a")
    result = evaluate(runs / "some")
    assert (list(result.class_names), result.images, result.warnings) == (["c", "a"], 4, [])
