"""Tests of the source of images for an evaluation, and of how they are decoded."""

import dataclasses
import json

import numpy as np
import pytest
from tiny_folders import CROP_POLICY

import flax_vision as fv
from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.flags import MAX_PIXELS
from flax_vision.data.splits import Source
from flax_vision.errors import UserError
from flax_vision.evaluation.data_options import OPTIONS
from flax_vision.evaluation.data_warnings import data_warning
from flax_vision.evaluation.run_data import find_source, load_images


@pytest.fixture
def image_file_metadata(metadata):
    """Description of a model for image files."""
    return dataclasses.replace(metadata, crop=CROP_POLICY)


@pytest.fixture
def directory(tmp_path):
    """Directory of its run on an image folder."""
    data = {"name": "folder", "tfds_dir": "", "image_dir": str(tmp_path / "pictures")}
    (tmp_path / "pictures").mkdir()
    data |= {"val_fraction": 0.1, "test_fraction": 0.2, "on_error": "skip", "num_threads": 3}
    (tmp_path / "config.json").write_text(json.dumps({"format": 2, "data": data}))
    return tmp_path


def test_folder_of_a_run_is_split_as_in_the_run(directory, image_file_metadata):
    path, names = str(directory / "pictures"), image_file_metadata.class_names
    decode_config = DecodeConfig(CROP_POLICY, "skip", 3, OPTIONS)
    own = Source("folder", "", path, 0.1, 0.2, decode_config, names, OPTIONS)
    assert find_source(directory, image_file_metadata) == own
    assert find_source(directory, image_file_metadata, data="folder") == own
    by_another_name = find_source(directory, image_file_metadata, image_dir=f"{path}/../pictures")
    assert by_another_name == own
    other = Source("folder", "", "others", 0.1, 1.0, decode_config, names, OPTIONS)
    assert find_source(directory, image_file_metadata, image_dir="others") == other


def test_folders_may_begin_with_a_tilde(metadata, image_file_metadata, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert (
        find_source(tmp_path, image_file_metadata, image_dir="~/others").image_dir
        == "/home/me/others"
    )
    assert (
        find_source(tmp_path, metadata, data="cifar10", tfds_dir="~/sets").tfds_dir
        == "/home/me/sets"
    )


def test_folder_of_a_run_is_not_expanded_again(directory, image_file_metadata, monkeypatch):
    monkeypatch.chdir(directory)
    config = json.loads((directory / "config.json").read_text())
    config["data"]["image_dir"] = "./~nouser"
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "~nouser").mkdir()
    source = find_source(directory, image_file_metadata)
    assert source.image_dir == "./~nouser"
    assert data_warning(directory, dataclasses.replace(source, test_fraction=1), "test", None) == ""
    assert find_source(directory, image_file_metadata, image_dir="./~nouser") == source


def test_folder_of_a_run_is_missing(directory, image_file_metadata):
    (directory / "pictures").rmdir()
    with pytest.raises(
        UserError, match="the training folder of .* is missing: .*give --image-dir DIR"
    ):
        find_source(directory, image_file_metadata)


@pytest.fixture
def table_directory(directory):
    """Directory of its run on a table of labels."""
    config = json.loads((directory / "config.json").read_text())
    config["data"] |= {"labels": "own.csv", "label_column": "x", "classes": ["c", "a"]}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def test_table_of_labels(table_directory, image_file_metadata):
    directory = table_directory
    own = find_source(directory, image_file_metadata)
    assert (own.labels, own.label_column, own.test_fraction) == ("own.csv", "x", 0.2)
    assert own.classes == ("c", "a")
    assert find_source(directory, image_file_metadata, labels="./own.csv") == own
    other = find_source(directory, image_file_metadata, labels="other.csv")
    assert (other.labels, other.label_column, other.test_fraction) == ("other.csv", "", 1.0)
    named = find_source(directory, image_file_metadata, labels="other.csv", label_column="y")
    assert (named.labels, named.label_column) == ("other.csv", "y")
    assert (other.image_dir, other.classes) == (own.image_dir, own.classes)
    with pytest.raises(UserError, match="--labels is 'x.csv', and --data is 'cifar10'; give one"):
        find_source(directory, image_file_metadata, data="cifar10", labels="x.csv")


def test_another_folder_needs_labels_of_its_own(table_directory, image_file_metadata):
    path = f"{table_directory}/pictures"
    own = find_source(table_directory, image_file_metadata)
    assert find_source(table_directory, image_file_metadata, image_dir=path) == own
    message = (
        "the labels of the run are in the table 'own.csv', and --image-dir others is another "
        "folder; give --labels own.csv for the same images, the table of other images, or --labels="
    )
    with pytest.raises(UserError, match=message):
        find_source(table_directory, image_file_metadata, image_dir="others")
    other = find_source(table_directory, image_file_metadata, image_dir="others", labels="own.csv")
    assert (other.image_dir, other.labels, other.test_fraction) == ("others", "own.csv", 1.0)


def test_no_table_means_a_folder_for_each_class(table_directory, image_file_metadata):
    folder = find_source(table_directory, image_file_metadata, image_dir="others", labels="")
    assert (folder.image_dir, folder.labels, folder.label_column) == ("others", "", "")
    own = find_source(table_directory, image_file_metadata, labels="")
    assert (own.image_dir, own.labels) == (f"{table_directory}/pictures", "")
    with pytest.raises(UserError, match="--image-column y is for a table, and there is none; give"):
        find_source(table_directory, image_file_metadata, labels="", image_column="y")


def test_columns_of_a_run_and_of_another_set(directory, image_file_metadata):
    config = json.loads((directory / "config.json").read_text())
    config["data"] |= {"name": "hf:birds", "image_column": "picture", "label_column": "fine"}
    (directory / "config.json").write_text(json.dumps(config))
    own = find_source(directory, image_file_metadata)
    assert (own.name, own.image_column, own.label_column) == ("hf:birds", "picture", "fine")
    assert own.class_names == image_file_metadata.class_names
    other = find_source(directory, image_file_metadata, data="hf:others", label_column="kind")
    assert (other.image_column, other.label_column, other.test_fraction) == ("", "kind", 1.0)
    with pytest.raises(UserError, match="--label-column kind is for a table, and there is none"):
        find_source(directory, image_file_metadata, data="mnist_5k", label_column="kind")


def test_on_error_can_differ_from_the_run(directory, image_file_metadata):
    source = find_source(directory, image_file_metadata, on_error="stop")
    assert source.decode_config == DecodeConfig(CROP_POLICY, "stop", 3, OPTIONS)


def test_max_pixels_come_from_the_run_or_the_caller(directory, image_file_metadata):
    assert find_source(directory, image_file_metadata).decode_config.max_pixels == MAX_PIXELS
    source = find_source(directory, image_file_metadata, max_pixels=7)
    assert source.decode_config.max_pixels == 7
    config = json.loads((directory / "config.json").read_text())
    config["data"]["max_pixels"] = 9
    (directory / "config.json").write_text(json.dumps(config))
    assert find_source(directory, image_file_metadata).decode_config.max_pixels == 9


def test_only_image_files_have_a_decode_config(metadata, image_file_metadata, tmp_path):
    def decode_config(metadata, name):
        return find_source(tmp_path, metadata, data=name).decode_config

    assert decode_config(image_file_metadata, "imagenette") == DecodeConfig(
        CROP_POLICY, flags=OPTIONS
    )
    assert decode_config(image_file_metadata, "mnist_5k") is None
    assert decode_config(metadata, "cifar10") is None
    # A model trained on small images gets square crops of image files.
    assert decode_config(metadata, "folder") == DecodeConfig(
        CropPolicy(12, 12, (12, 12), channels=1), flags=OPTIONS
    )


def test_model_for_rectangular_images(metadata, tmp_path):
    wide = dataclasses.replace(metadata, image_shape=[8, 9, 3])
    with pytest.raises(UserError, match="trained on images of 8x9.*--data NAME"):
        find_source(tmp_path, wide, image_dir="pictures")


def test_registered_dataset_is_in_memory(image_file_metadata, tmp_path, temporary_names):
    images, labels = np.zeros((6, 12, 12), np.uint8), np.arange(6)
    fv.register_dataset("own", lambda: {"train": (images, labels)})
    metadata = dataclasses.replace(image_file_metadata, image_shape=[12, 12, 1])
    assert find_source(tmp_path, metadata, data="own").decode_config is None
    options = {"data": "own"}
    _, found = load_images(tmp_path, metadata, "train", lambda *_: None, **options)
    assert found.images.shape == (6, 12, 12, 1)
    with pytest.raises(UserError, match="'own' has no test images. Choose another --split"):
        load_images(tmp_path, metadata, "test", lambda *_: None, **options)
