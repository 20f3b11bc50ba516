"""Training sets with a limited number of images of each class."""

import itertools

import numpy as np
import pytest
from tiny_folders import CROP_POLICY, ignore, write

import flax_vision as fv
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.limit import limit_classes
from flax_vision.data.split_record import relative_paths
from flax_vision.data.splits import Source, read_split, read_splits
from flax_vision.errors import UserError


def numbers(dataset, digits):
    """Returns the indices in `digits` of the images."""
    known = {image.tobytes(): index for index, image in enumerate(digits.images)}
    return [known[image.tobytes()] for image in dataset.images]


def test_each_class_has_the_limit_in_the_order_of_the_dataset(digits):
    limited = limit_classes(digits, 3, seed=0)
    found = numbers(limited, digits)
    assert found == sorted(found)
    assert np.bincount(limited.labels).tolist() == [3, 3, 3, 3]
    assert limited.labels.tolist() == digits.labels[found].tolist()
    assert limited.labels.dtype == np.int32


def test_no_limit_is_the_dataset(digits):
    assert limit_classes(digits, 0, 0) is digits


def test_whole_class_is_no_error(digits):
    assert numbers(limit_classes(digits, 10, 0), digits) == list(range(40))


def test_smaller_limit_is_contained_in_a_larger(digits):
    chosen = [set(numbers(limit_classes(digits, limit, 5), digits)) for limit in range(1, 11)]
    assert all(a < b for a, b in itertools.pairwise(chosen))


def test_seed_chooses_the_images(digits):
    first, same, other = (numbers(limit_classes(digits, 4, seed), digits) for seed in (0, 0, 1))
    assert first == same != other


def test_images_of_a_seed_never_change(digits):
    assert numbers(limit_classes(digits, 1, 0), digits) == [3, 12, 18, 37]


def test_classes_have_different_orders(digits):
    found = np.array(numbers(limit_classes(digits, 5, 0), digits))
    places = {tuple(found[found % 4 == label] // 4) for label in range(4)}
    assert len(places) > 1


def test_line_names_the_numbers(digits):
    (line,) = limit_classes(digits, 1, 0).warnings
    assert line == "data.limit: 1 image of each class, 4 of 40"


def test_class_that_is_too_small(digits):
    fewer = digits.take(np.arange(38))
    with pytest.raises(UserError, match=r"limit is 10, and the class 'c' has only 9 training im"):
        limit_classes(fewer, 10, 0)


def test_validation_and_test_keep_their_images():
    whole = read_splits(Source("mnist_5k", val_fraction=0.1), ignore)
    limited = read_splits(Source("mnist_5k", val_fraction=0.1, limit=7), ignore)
    assert [len(split) for split in limited] == [70, len(whole.validation), len(whole.test)]
    assert any("data.limit" in text for text in limited.warnings())


def test_single_split_has_the_same_images():
    source = Source("mnist_5k", val_fraction=0.1, limit=2, seed=3)
    train = read_split(source, "train", ignore)
    np.testing.assert_array_equal(train.images, read_splits(source, ignore).train.images)


def test_limit_counts_the_chosen_classes():
    source = Source("mnist_5k", val_fraction=0.1, limit=2, classes=("8", "3"))
    assert np.bincount(read_split(source, "train", ignore).labels).tolist() == [2, 2]


def test_registered_dataset(temporary_names):
    images = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    fv.register_dataset(
        "own", lambda: {"train": (images, np.arange(6) % 3), "test": (images, np.zeros(6, int))}
    )
    train = read_split(Source("own", limit=1), "train", ignore)
    assert train.labels[np.argsort(train.labels)].tolist() == [0, 1, 2]


def test_folder(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / split, count=3)
    source = Source(
        "folder", image_dir=str(tmp_path), decode_config=DecodeConfig(CROP_POLICY), limit=1
    )
    splits = read_splits(source, ignore)
    assert [path.split("/")[:2] for path in relative_paths(splits.train, str(tmp_path))] == [
        *(["train", "a"], ["train", "b"])
    ]
    assert len(splits.test) == 6
