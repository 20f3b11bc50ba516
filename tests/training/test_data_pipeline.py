import errno

import pytest

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.training import data_pipeline
from flax_vision.training.data_pipeline import load_data, make_augmentation


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"data.name": "folder", "data.image_dir": "/photos"}, "/photos"),
        ({"data.name": "mnist", "data.tfds_dir": "/sets"}, "/sets"),
        ({}, "mnist_5k"),
    ],
)
def test_error_names_unreadable_data(settings, name, config, monkeypatch):
    def fail(source, on_progress):
        raise PermissionError(errno.EACCES, "Permission denied", "/photos/train")

    monkeypatch.setattr(data_pipeline, "read_splits", fail)
    config.update_from_flattened_dict(settings)
    message = f"the data in '{name}' cannot be read .Permission denied.; fix this"
    with pytest.raises(UserError, match=message):
        load_data(config, lambda *progress: None)


def test_gray_images_have_no_hue(config, digits):
    config.augmentation.hue = 0.1
    with pytest.raises(UserError, match="augmentation.hue is 0.1, and the images are gray"):
        make_augmentation(config.augmentation, digits, Preprocessing((0.0,), (1.0,)), print)


@pytest.fixture
def lazy(config, monkeypatch):
    """The configuration of a set with lazy labels, which gives the `stratify` of its source."""
    monkeypatch.setattr(data_pipeline, "has_lazy_labels", lambda source: source.stratify == "auto")
    monkeypatch.setattr(data_pipeline, "read_splits", lambda source, on_progress: source.stratify)
    return config


@pytest.mark.parametrize(
    ("settings", "was_stratified", "expected"),
    [
        ({}, None, "never"),
        ({}, True, "always"),
        ({}, False, "never"),
        ({"data.stratify": "always"}, None, "always"),
        ({"data.stratify": "never"}, True, "never"),
        ({"data.sampler": "balanced"}, None, "always"),
        ({"data.sampler": "balanced"}, False, "never"),
        ({"data.classes": ("cat", "dog")}, None, "always"),
        ({"loss.class_weights": "balanced"}, None, "always"),
        ({"loss.class_weights": "1,2"}, None, "never"),
    ],
)
def test_splits_of_a_set_with_lazy_labels(settings, was_stratified, expected, lazy):
    lazy.update_from_flattened_dict(settings)
    assert load_data(lazy, print, was_stratified) == expected


def test_splits_of_a_set_with_known_labels(lazy, monkeypatch):
    monkeypatch.setattr(data_pipeline, "has_lazy_labels", lambda source: False)
    assert load_data(lazy, print) == "always"
    assert load_data(lazy, print, False) == "never"


def test_processes_agree_about_the_splits(lazy, monkeypatch):
    """The cache of another process has no labels."""
    monkeypatch.setattr(data_pipeline, "has_lazy_labels", lambda source: False)
    monkeypatch.setattr(data_pipeline.multihost, "all_max", lambda *values: (True,) * len(values))
    assert load_data(lazy, print) == "never"
