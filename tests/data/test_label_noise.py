"""Random label noise in a training set."""

import numpy as np
import pytest
from tiny_folders import ignore

from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.label_noise import add_label_noise
from flax_vision.data.splits import Source, read_split, read_splits
from flax_vision.errors import UserError


def replaced(dataset, noisy):
    return set(np.flatnonzero(dataset.labels != noisy.labels).tolist())


@pytest.fixture(scope="module")
def many():
    """A thousand labels of five classes, without pixels."""
    labels = np.arange(1000, dtype=np.int32) % 5
    return ArrayDataset(np.zeros((1000, 1, 1, 1), np.uint8), labels, list("abcde"))


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_share_of_the_labels_is_of_another_class(many, share):
    noisy = add_label_noise(many, share, seed=0)
    assert len(replaced(many, noisy)) == 1000 * share
    assert (noisy.labels.min(), noisy.labels.max(), noisy.labels.dtype) == (0, 4, np.int32)


def test_all_other_classes_are_about_equally_likely(many):
    noisy = add_label_noise(many, 1.0, 0)
    steps = np.bincount((noisy.labels - many.labels) % 5, minlength=5)
    assert steps[0] == 0
    assert np.all(abs(steps[1:] - 250) < 50)


def test_no_noise_is_the_dataset(many):
    assert add_label_noise(many, 0.0, 0) is many


def test_dataset_keeps_its_labels(many):
    before = many.labels.copy()
    add_label_noise(many, 0.5, 0)
    np.testing.assert_array_equal(many.labels, before)


def test_seed_chooses_the_labels(many):
    first, same, other = (add_label_noise(many, 0.2, seed).labels for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)


def test_larger_share_has_the_wrong_labels_of_a_smaller(many):
    small, large = (add_label_noise(many, share, 4) for share in (0.1, 0.3))
    both = sorted(replaced(many, small))
    assert replaced(many, small) < replaced(many, large)
    np.testing.assert_array_equal(small.labels[both], large.labels[both])


def test_labels_of_a_seed_never_change(digits):
    noisy = add_label_noise(digits, 0.1, 0)
    found = {index: int(noisy.labels[index]) for index in sorted(replaced(digits, noisy))}
    assert found == {10: 0, 26: 0, 34: 0, 35: 0}


def test_line_names_the_numbers(many):
    (line,) = add_label_noise(many, 0.1, 0).warnings
    assert line == "data.label_noise: 100 of 1,000 training labels replaced by another random class"


def test_one_class_has_no_other(digits):
    only = ArrayDataset(digits.images, np.zeros(40, np.int32), ["a"])
    with pytest.raises(UserError, match="label_noise is 0.5, but there is only the class 'a'"):
        add_label_noise(only, 0.5, 0)


def test_only_the_training_split_is_changed():
    clean = read_splits(Source("mnist_5k", val_fraction=0.1), ignore)
    noisy = read_splits(Source("mnist_5k", val_fraction=0.1, label_noise=0.5), ignore)
    assert len(replaced(clean.train, noisy.train)) == 1800
    for split in ("validation", "test"):
        assert not replaced(getattr(clean, split), getattr(noisy, split))


def test_noise_is_in_the_limited_images():
    source = Source("mnist_5k", limit=10, label_noise=0.5)
    limited = read_split(Source("mnist_5k", limit=10), "train", ignore)
    noisy = read_split(source, "train", ignore)
    np.testing.assert_array_equal(noisy.images, limited.images)
    assert len(replaced(limited, noisy)) == 50
    assert [text.partition(":")[0] for text in noisy.warnings] == ["data.limit", "data.label_noise"]
