"""Custom datasets, which users register, and arrays in memory."""

import re

import numpy as np
import pytest
from tiny_folders import CROP_POLICY, ignore

import flax_vision as fv
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.custom_datasets import arrays_in_memory, has_arrays
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
    ],
)
def test_invalid_content(content, message):
    with pytest.raises(UserError, match=message):
        load(content)


def test_names_that_exist():
    fv.register_dataset("own", dict)
    for name in ("own", "folder", "mnist_5k", "arrays"):
        with pytest.raises(UserError, match=f"a dataset '{name}' exists already"):
            fv.register_dataset(name, dict)


def test_arguments_that_are_not_valid():
    with pytest.raises(UserError, match="got '' and .*; give a name and a function"):
        fv.register_dataset("", dict)
    with pytest.raises(UserError, match="got 'x' and 3; give a name and a function"):
        fv.register_dataset("x", 3)


@pytest.mark.parametrize("name", ["hf:own", "a/b", "a b", "-a", ".a", "a=b", "a\n", "a'b", "a\\b"])
def test_names_that_paths_or_commands_cannot_have(name):
    message = re.escape(f"name is {name!r}; give letters, digits and the signs _.-")
    with pytest.raises(UserError, match=message):
        fv.register_dataset(name, dict)
    fv.register_dataset("größe-1.v_2", dict)


def test_arrays_are_a_dataset_within_a_block():
    source = Source("arrays", val_fraction=0.25, test_fraction=0.2)
    assert not has_arrays()
    with arrays_in_memory((IMAGES, LABELS), ["no", "yes"]):
        assert has_arrays()
        splits = read_splits(source, ignore)
        with arrays_in_memory((IMAGES[:10], LABELS[:10])):
            assert len(read_splits(source, ignore).test) == 2
        assert len(read_splits(source, ignore).test) == 4
    assert [np.bincount(split.labels).tolist() for split in splits] == [[6, 6], [2, 2], [2, 2]]
    assert splits.train.class_names == ["no", "yes"]
    message = (
        r"dataset 'arrays' was in memory and is not saved; give the same arrays in Python, "
        r"fv.train\(config, data=\(images, labels\)\), or --config.data.name=NAME for another"
    )
    with pytest.raises(UserError, match=message):
        read_splits(source, ignore)


def test_arrays_by_split():
    data = {"train": (IMAGES, LABELS), "test": (IMAGES[:4], LABELS[:4])}
    with arrays_in_memory(data):
        splits = read_splits(Source("arrays", val_fraction=0.1), ignore)
    assert [len(split) for split in splits] == [18, 2, 4]


@pytest.mark.parametrize("data", [{}, {"test": (IMAGES, LABELS)}])
def test_arrays_of_the_wanted_split_are_missing(data):
    message = "give .images, labels., or a dictionary with such a pair for 'train'"
    with pytest.raises(UserError, match=message), arrays_in_memory(data):
        pass
    assert not has_arrays()


def test_classes_without_training_images_are_named():
    content = {"train": (IMAGES, LABELS), "class_names": "abcd"}
    (text,) = load(content, test_fraction=0.2).warnings()
    assert text == "2 classes have no training images: 'c', 'd'"
