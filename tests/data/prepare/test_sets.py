import pytest
import tensorflow_datasets as tfds

from flax_vision.data.prepare.sets import SETS, preparation_command, valid_names


def test_valid_names_are_those_of_tfds():
    names = valid_names()
    assert names[: len(SETS)] == sorted(SETS)
    assert "emnist/byclass" in names
    assert "imagenette/160px-v2" in names
    assert len(names) == len(SETS) + 6 + 6
    for name in names:
        assert tfds.builder(name).name == name.partition("/")[0]


@pytest.mark.parametrize("name", valid_names())
def test_counts(name):
    builder = tfds.builder(name)
    counts = SETS[builder.name].counts(builder.builder_config)
    first, second = list(counts)[:2]
    assert (first, second) in [("train", "test"), ("train", "validation")]
    assert counts[first] > counts[second] >= 500


def test_command(tmp_path):
    builder = tfds.builder("cifar10", data_dir=tmp_path)
    assert preparation_command(builder, "") == "flax-vision prepare cifar10"
    directory = str(tmp_path / "my data")
    command = f"flax-vision prepare cifar10 '--tfds-dir={directory}'"
    assert preparation_command(builder, directory) == command


def test_command_replaces_what_is_there(tmp_path):
    (tmp_path / "emnist/letters/3.1.0").mkdir(parents=True)
    builder = tfds.builder("emnist/letters", data_dir=tmp_path)
    command = f"flax-vision prepare emnist/letters --tfds-dir={tmp_path} --overwrite"
    assert preparation_command(builder, str(tmp_path)) == command


def test_command_of_a_set_that_is_not_downloaded(tmp_path):
    builder = tfds.builder("imagenet2012", data_dir=tmp_path)
    assert preparation_command(builder, "") == "flax-vision prepare imagenet2012 --source=DIR"


def test_other_sets_have_no_command(tmp_path):
    assert not preparation_command(tfds.builder("svhn_cropped", data_dir=tmp_path), "")
