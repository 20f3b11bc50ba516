"""EMNIST is read upright, in memory and as files; other sets do not change."""

import numpy as np
import pytest
from published_archives import random_images

from flax_vision.data.crops import CropPolicy, DecodeConfig
from flax_vision.data.prepare.preparation import Preparation
from flax_vision.data.tfds import tfds_loaders

WHOLE = DecodeConfig(CropPolicy(28, 28, (28, 28), channels=1))


def ignore(task, done, total):
    """Ignores progress."""


@pytest.fixture
def prepared(publish, tmp_path):
    """Function that prepares a small set, and returns the directory and its training images."""

    def prepare(name):
        for file, content in publish(name).items():
            (tmp_path / file).write_bytes(content)
        preparation = Preparation(name, str(tmp_path / "sets"), str(tmp_path))
        with preparation.lock():
            preparation.write(preparation.obtain_files(ignore), ignore)
        return preparation.directory, random_images(name.rpartition("/")[2], "train")

    return prepare


def labeled(images, labels):
    """Returns the pairs of an image's bytes and its label, in a fixed order."""
    return sorted((x.tobytes(), int(label)) for x, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("decode_config", [None, WHOLE])
def test_emnist_is_read_upright(decode_config, prepared):
    directory, (images, labels) = prepared("emnist/digits")
    train = tfds_loaders("emnist/digits", directory, ignore, decode_config)["train"]()
    ((found, mask),) = train.batches([np.arange(len(train))], None)
    assert mask.all()
    assert labeled(found, train.labels) == labeled(images.swapaxes(1, 2), labels)


def test_mnist_is_read_as_it_is(prepared):
    directory, (images, labels) = prepared("mnist")
    train = tfds_loaders("mnist", directory, ignore)["train"]()
    assert labeled(train.images, train.labels) == labeled(images, labels)


def test_names_of_images_stay(prepared):
    directory, _ = prepared("emnist/digits")
    train = tfds_loaders("emnist/digits", directory, ignore, WHOLE)["train"]()
    assert train.files.name(3) == "emnist train, record 3"
    assert train.files.key(3) == "3"
