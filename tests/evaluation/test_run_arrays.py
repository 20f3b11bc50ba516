"""Evaluation of a saved model on arrays in memory."""

import json
import shutil

import numpy as np
import pytest

import flax_vision as fv
from flax_vision.analysis.report.writer import write_mistakes
from flax_vision.data.custom_datasets import arrays_in_memory, has_arrays
from flax_vision.data.fingerprint import split_fingerprints
from flax_vision.data.splits import Source, read_splits
from flax_vision.errors import UserError
from flax_vision.evaluation.run_data import load_images


def ignore(what, done, total):
    """Ignores progress."""


@pytest.fixture
def pair(noise):
    """Images and labels of the run."""
    return noise.images, noise.labels


@pytest.fixture
def directory(pair, noise, tmp_path):
    """Directory of a run on arrays, with a share of 0.35 of each class for its test."""
    data = {"name": "arrays", "tfds_dir": "", "val_fraction": 0.5, "test_fraction": 0.35}
    (tmp_path / "config.json").write_text(json.dumps({"format": 2, "data": data}))
    with arrays_in_memory(pair, noise.class_names):
        splits = read_splits(Source("arrays", val_fraction=0.5, test_fraction=0.35), ignore)
    (tmp_path / "dataset.json").write_text(json.dumps(split_fingerprints(splits)))
    return tmp_path


@pytest.fixture
def load(directory, metadata):
    """Function that loads a split of given arrays for the model."""

    def load(data, split="test"):
        return load_images(directory, metadata, split, ignore, data=data)[1]

    return load


def test_arrays_of_the_run_are_divided_as_in_the_run(load, pair):
    assert [len(load(pair, split)) for split in ("train", "validation", "test")] == [6, 8, 6]
    assert not has_arrays()


@pytest.mark.parametrize(
    "settings", [{"limit": 1}, {"label_noise": 0.5}, {"stratify": "never", "val_fraction": 0.3}]
)
def test_arrays_of_a_run_with_other_splits_are_divided_as_in_the_run(
    settings, metadata, pair, noise, tmp_path
):
    settings = {"val_fraction": 0.2, "test_fraction": 0.35} | settings
    data = {"name": "arrays", "tfds_dir": "", **settings}
    (tmp_path / "config.json").write_text(json.dumps({"format": 2, "seed": 3, "data": data}))
    with arrays_in_memory(pair, noise.class_names):
        splits = read_splits(Source("arrays", **settings, seed=3), ignore)
    (tmp_path / "dataset.json").write_text(json.dumps(split_fingerprints(splits)))
    for split in ("train", "validation", "test"):
        images = load_images(tmp_path, metadata, split, ignore, data=pair)[1]
        np.testing.assert_array_equal(images.images, getattr(splits, split).images)


def test_all_of_other_arrays_is_tested(load, metadata, pair, tmp_path):
    images, labels = pair
    assert len(load((images[::-1], labels[::-1]))) == 20
    assert len(load_images(tmp_path / "another", metadata, "test", ignore, data=pair)[1]) == 20
    message = "data has no train images; give a dictionary with a pair for 'train'"
    with pytest.raises(UserError, match=message):
        load((images[::-1], labels[::-1]), "train")


def test_labels_are_numbers_or_names_of_the_classes_of_the_model(load, noise):
    images, labels = noise.images[4:6], noise.labels[4:6]
    np.testing.assert_array_equal(load((images, labels)).labels, [4, 5])
    by_name = load((images / 255, ["e", "f"]))
    np.testing.assert_array_equal(by_name.labels, [4, 5])
    np.testing.assert_array_equal(by_name.images, images)
    with pytest.raises(UserError, match="data: there is no class 'g'"):
        load((images, ["e", "g"]))
    with pytest.raises(UserError, match="data: labels are up to 6, and there are 6 classes"):
        load((images, labels + 1))


def test_pairs_by_split(load, pair):
    images, labels = pair
    data = {"validation": (images[:7], labels[:7]), "test": (images[:3], labels[:3])}
    assert [len(load(data, split)) for split in ("validation", "test")] == [7, 3]
    with pytest.raises(UserError, match="data has 'validation', 'test'; give .* for 'train'"):
        load(data, "train")
    with pytest.raises(UserError, match="data has no test images"):
        load({"train": (images[1:], labels[1:])})


def test_given_class_names_replace_those_of_the_model(load, pair):
    assert load({"test": pair, "class_names": "ABCDEF"}).class_names == list("ABCDEF")


def test_chosen_classes_of_a_run_are_those_of_the_arrays(directory, load, noise):
    config = json.loads((directory / "config.json").read_text())
    config["data"]["classes"] = noise.class_names
    (directory / "config.json").write_text(json.dumps(config))
    names = [*noise.class_names, "z", "z"] * 3
    assert len(load((noise.images, names[:20]))) == 16


def test_arrays_that_are_gone(load):
    message = (
        r"was in memory and is not saved; give the same arrays in Python, fv.evaluate\(DIR, da"
    )
    with pytest.raises(UserError, match=message):
        load(None)


@pytest.mark.slow
def test_evaluation_and_report_of_arrays(directory, run, pair):
    shutil.copytree(run / "export", directory / "export")
    result = fv.evaluate(directory, data=pair)
    assert (result.data, result.images, result.warnings) == ("arrays", 6, [])
    with pytest.raises(UserError, match=r"^data: got ndarray; give a pair"):
        fv.evaluate(directory, data=pair[0])
    data = {"test": pair, "class_names": ["f", "e", "d", "c", "b", "a"]}
    (warning,) = fv.evaluate(directory, data=data).warnings
    assert warning.startswith("class 0 is 'a' in the model and 'f' in 'arrays'")
    (directory / "metrics.jsonl").write_text("")
    page, warning = write_mistakes(directory, "test", data=pair)
    assert (page.exists(), warning) == (True, "")
