import hashlib
from importlib import resources

import chex
import numpy as np

from flax_vision.data.mnist_5k import load_mnist_5k


def test_four_thousand_and_one_thousand_real_digits():
    train, test = load_mnist_5k()
    chex.assert_shape(train.images, (4000, 28, 28, 1))
    chex.assert_shape(test.images, (1000, 28, 28, 1))
    chex.assert_type([train.images, test.images], np.uint8)
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    # A digit of MNIST has black corners and some white.
    assert (train.images[:, 0, 0] == 0).all()
    assert (train.images.max(axis=(1, 2, 3)) > 200).all()
    assert list(train.class_names) == list("0123456789")


def test_data_file_is_unchanged_and_has_its_license_beside_it():
    data = resources.files("flax_vision.data")
    digest = hashlib.sha256((data / "mnist_5k.npz").read_bytes()).hexdigest()
    assert digest == "246e0c30eeea57c8d0037d3f38c8e00651ec204cc61b8022563e9aeeb9d756f4"
    assert "CC BY-SA 3.0" in (data / "mnist_5k.LICENSE.txt").read_text()


def test_split_is_the_same_on_every_machine():
    _, test = load_mnist_5k()
    digest = hashlib.sha256(test.images.tobytes() + test.labels.tobytes()).hexdigest()
    assert digest == "05bf38a3bdfcec04cad0fe468f34bddc5b0856fe13eaec2934bd4cda942f6999"
