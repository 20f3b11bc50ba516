"""Whole runs on a folder of photographs: stopped, resumed, and with damaged files."""

import shutil
from collections import Counter
from pathlib import Path

import chex
import pytest
from PIL import Image
from runs import read_metrics, stop_at
from tiny_folders import ignore, write

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.training.build import build_experiment
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit
from flax_vision.training.signals import Interrupted
from flax_vision.weights.saved_model import load_metadata

CONFIG = Path(__file__).parents[2] / "configs/lenet5.py:folder"
TIMES = {"epoch_seconds", "train_seconds", "input_wait_fraction", "images_per_second"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("pictures"), "abc", 20, ".jpg")


def configuration(folder, **settings):
    settings = {
        "model.name": "lenet5_modern",
        "data.image_dir": folder,
        "batch_size": 12,
        "epochs": 2,
        "crop.resize_range": "32,36",
        "data.subtract_mean": "channel",
        "write_report": False,
    } | settings
    return load_config(str(CONFIG), [f"--config.{key}={value}" for key, value in settings.items()])


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, fit(configuration(folder), workdir)


def test_run_on_a_folder(finished):
    workdir, result = finished
    assert result["test/images"] == 6
    assert "test/top5" not in result  # of three classes
    assert [record["step"] for record in read_metrics(workdir)] == [4, 8, 8]
    metadata = load_metadata(workdir)
    assert metadata.class_names == ["a", "b", "c"]
    assert list(metadata.image_shape) == [32, 32, 1]
    assert (metadata.crop.size, metadata.crop.eval_resize, metadata.crop.channels) == (32, 32, 1)
    heading, *files = (workdir / "splits.csv").read_text().splitlines()
    assert heading == "path,label,split"
    assert Counter(file.rpartition(",")[2] for file in files) == {
        **{"train": 48, "validation": 6, "test": 6}
    }
    assert result["train/imbalance"] == 1
    assert 0 <= result["validation/ece"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 5])
def test_stopped_run_goes_on_to_the_same_bits_with_other_threads(
    step, folder, finished, tmp_path, monkeypatch
):
    workdir, whole = finished
    config = configuration(folder)
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Interrupted):
            fit(config, tmp_path)
    monkeypatch.setattr("flax_vision.runtime.cpu_features.usable_cores", lambda: 5)
    result = fit(config, tmp_path)
    chex.assert_trees_all_equal(fv.load(tmp_path)[1], fv.load(workdir)[1])
    assert {k: v for k, v in result.items() if k not in TIMES} == {
        k: v for k, v in whole.items() if k not in TIMES
    }


@pytest.mark.slow
def test_run_goes_on_with_its_own_images_only(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "pictures")
    config = configuration(tmp_path / "pictures", epochs=1)
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "run")
    shutil.copy(tmp_path / "pictures/a/1.jpg", tmp_path / "pictures/a/00.jpg")
    message = "other images than there are.*train: 'a' had 16 images and has 17, .*test: the 2 im"
    with pytest.raises(UserError, match=message):
        fit(config, tmp_path / "run")
    (tmp_path / "pictures/a/00.jpg").unlink()
    assert fit(config, tmp_path / "run")["step"] == 4


def test_settings_of_a_folder_reach_the_data(tmp_path):
    write(tmp_path, ("10", "9"), 20, ".jpg")
    (tmp_path / "9/other.heic").touch()
    settings = {"data.class_order": "sorted", "data.max_pixels": 10_000}
    experiment = build_experiment(configuration(tmp_path, **settings), ignore)
    assert experiment.metadata.class_names == ["10", "9"]
    assert experiment.splits.train.decode_config.max_pixels == 10_000
    (note,) = experiment.notes
    assert note.startswith("skipped 1 file without an image extension (.heic 1), such as ")


def test_finished_run_whose_folder_has_moved(folder, finished, tmp_path):
    workdir, result = finished
    shutil.copytree(folder, tmp_path / "pictures")
    assert fit(configuration(tmp_path / "pictures"), workdir) == result
    (tmp_path / "pictures/a/1.jpg").unlink()
    assert fit(configuration(folder), workdir) == result
    before = (workdir / "config.json").read_text()
    with pytest.raises(UserError, match="belongs to other images"):
        fit(configuration(tmp_path / "pictures"), workdir)
    shutil.rmtree(tmp_path / "pictures")
    with pytest.raises(UserError, match="does not exist"):
        fit(configuration(tmp_path / "pictures"), workdir)
    assert (workdir / "config.json").read_text() == before


@pytest.mark.slow
def test_start_that_failed_claims_no_images(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "pictures")
    (tmp_path / "pictures/a/1.jpg").write_bytes(b"nothing")
    config = configuration(tmp_path / "pictures", epochs=1)
    with pytest.raises(UserError, match="cannot be read"):
        fit(config, tmp_path / "run")
    (tmp_path / "pictures/a/1.jpg").unlink()
    assert fit(config, tmp_path / "run")["step"] == 3


@pytest.fixture
def damaged(tmp_path):
    """Ten of sixty images are damaged where only decoding finds it."""
    write(tmp_path / "pictures", "abc", 20)
    for file in sorted((tmp_path / "pictures").rglob("1*.png"))[:10]:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
    return tmp_path / "pictures"


def test_damaged_image_stops_a_run_before_its_first_step(damaged, tmp_path):
    with pytest.raises(UserError, match="image '.*pictures/a/1.*png' cannot be read"):
        fit(configuration(damaged), tmp_path / "run")
    assert not (tmp_path / "run/metrics.jsonl").exists()


@pytest.mark.slow
def test_damaged_images_are_left_out_and_counted(damaged, tmp_path, capsys):
    settings = {"data.on_error": "skip", "batch_size": 16}
    result = fit(configuration(damaged, **settings), tmp_path / "run")
    warnings = capsys.readouterr().err.splitlines()
    left_out = [line for line in warnings if "cannot be read and will not count" in line]
    assert "warning: 10 images so far" in left_out[-1]
    assert "and 7 more" in left_out[-1]
    assert len(left_out) == len(set(left_out))
    assert 0 < result["test/images"] <= 6
    for part in ("train", "validation", "test"):
        values = [r[f"{part}/top1"] for r in read_metrics(tmp_path / "run") if f"{part}/top1" in r]
        assert all(0 <= value <= 1 for value in values)


@pytest.mark.slow
def test_no_image_can_be_read(damaged, tmp_path):
    for file in damaged.rglob("*.*"):
        Image.effect_noise((40, 40), 50).save(file, "JPEG")
        file.write_bytes(file.read_bytes()[:-200])  # behind the header, which is looked at before
    settings = {"data.on_error": "skip"}
    with pytest.raises(UserError, match="none of 48 training images can be read"):
        fit(configuration(damaged, **settings), tmp_path / "run")
    settings["data.subtract_mean"] = "given"
    with pytest.raises(UserError, match="no images were counted"):
        fit(configuration(damaged, **settings), tmp_path / "run")


def test_network_that_cannot_take_the_views(folder, tmp_path):
    config = configuration(
        folder, **{"crop.size": 40, "crop.resize_range": "40,40", "crop.eval_resize": 40}
    )
    with pytest.raises(UserError, match="cannot take the dataset.*config.crop.size=N"):
        fit(config, tmp_path)
