"""Custom datasets, which users register."""

import numpy as np
import pytest
from tiny_folders import CROP_POLICY, ignore

import flax_vision as fv
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.splits import Source, read_split, read_splits
from flax_vision.errors import UserError

pytestmark = pytest.mark.usefixtures("temporary_names")

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 8), np.uint8)
LABELS = np.arange(20) % 2


def load(content, class_names=None, **fractions):
    fv.register_dataset("own", lambda: content, class_names)
    return read_splits(Source("own", **fractions), ignore)


def test_splits_are_those_that_it_returns():
    content = {split: (IMAGES[:n], LABELS[:n]) for split, n in [("train", 20), ("test", 4)]}
    splits = load({**content, "validation": (IMAGES[:6], LABELS[:6])}, ["no", "yes"])
    assert [len(split) for split in splits] == [20, 6, 4]
    np.testing.assert_array_equal(splits.train.images, IMAGES[..., None])
    assert splits.train.labels.dtype == np.int32
    assert splits.test.class_names == ["no", "yes"]
    assert splits.test.in_memory


def test_missing_splits_are_shares_of_each_class():
    splits = load({"train": (IMAGES, LABELS)}, val_fraction=0.25, test_fraction=0.2)
    assert [np.bincount(split.labels).tolist() for split in splits] == [[6, 6], [2, 2], [2, 2]]
    assert splits.train.class_names == ["0", "1"]


def test_without_a_share_for_the_test():
    message = "test_fraction is 0.0, and 'own' has no split test, so .* or such a split"
    with pytest.raises(UserError, match=message):
        load({"train": (IMAGES, LABELS)})


def test_function_may_return_class_names_and_lists():
    splits = load({"train": (IMAGES, LABELS.tolist()), "class_names": "abc"}, test_fraction=0.2)
    assert splits.train.class_names == ["a", "b", "c"]


def test_one_split_is_enough_for_a_test():
    fv.register_dataset("own", lambda: {"train": (IMAGES, LABELS), "test": (IMAGES, LABELS)})
    assert len(read_split(Source("own"), "test", ignore)) == 20


def test_crops_are_for_image_files():
    fv.register_dataset("own", lambda: {"train": (IMAGES, LABELS)})
    with pytest.raises(UserError, match="the images of own are small and in memory; give --conf"):
        read_splits(Source("own", decode_config=DecodeConfig(CROP_POLICY)), ignore)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "returns list; its function must return a dictionary"),
        ({"test": (IMAGES, LABELS)}, r"returns \['test'\]; .* of 'train'"),
        ({"train": (IMAGES, LABELS), "tset": 1}, "unknown split .*'tset'; did you mean 'test'"),
        ({"train": IMAGES}, "own', train: got ndarray; give a pair"),
        ({"train": (IMAGES / 255, LABELS)}, "images are float64; give uint8 pixels"),
        ({"train": (IMAGES[0], LABELS)}, r"shape \(6, 8\); give at least one, \[N, H, W\]"),
        ({"train": (IMAGES[:0], LABELS[:0])}, r"shape \(0, 6, 8, 1\); give at least one"),
        ({"train": (IMAGES[..., None].repeat(2, 3), LABELS)}, "with 1 or 3 channels"),
        ({"train": (IMAGES, LABELS[:9])}, r"labels have the shape \(9,\), and there are 20 images"),
        ({"train": (IMAGES, np.eye(2)[LABELS])}, "labels are float64; give integers from 0"),
        ({"train": (IMAGES, LABELS - 1)}, "train: labels are from -1 to 0, and there are 1 class"),
        ({"train": (IMAGES, LABELS), "class_names": ["a"]}, "from 0 to 1, and there are 1 class"),
        (
            {"train": (IMAGES, LABELS), "test": (IMAGES[:, :5], LABELS)},
            r"test: images are \(5, 8, 1\), and those of train \(6, 8, 1\); give images of one",
        ),
    ],
)
def test_invalid_images_and_labels(content, message):
    with pytest.raises(UserError, match=message):
        load(content)


def test_names_that_exist_or_are_not_valid():
    fv.register_dataset("own", dict)
    for name in ("own", "folder", "mnist_5k"):
        with pytest.raises(UserError, match=f"a dataset '{name}' exists already"):
            fv.register_dataset(name, dict)
    with pytest.raises(UserError, match="got '' and .*; give a name and a function"):
        fv.register_dataset("", dict)
    with pytest.raises(UserError, match="got 'x' and 3; give a name and a function"):
        fv.register_dataset("x", 3)
