"""Labeled arrays in memory: their conversion, and the errors about them."""

import numpy as np
import pytest

from flax_vision.data.arrays import WHOLE, array_datasets
from flax_vision.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 8), np.uint8)
LABELS = np.arange(20) % 2
NAMES = np.array(["owl", "cat"])[LABELS]
PAIR = (IMAGES, LABELS)


def dataset(images=IMAGES, labels=LABELS, class_names=None):
    return array_datasets("data", {WHOLE: (images, labels)}, class_names)[WHOLE]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_from_0_to_1_become_pixels_with_a_warning(dtype):
    found = dataset((IMAGES / 255).astype(dtype))
    np.testing.assert_array_equal(found.images[..., 0], IMAGES)
    (text,) = found.warnings
    assert (
        text == f"images are {dtype} from 0 to 1; they are multiplied by 255 and rounded to uint8"
    )


def test_floats_between_two_pixels_are_rounded():
    images = np.full((20, 2, 2), 99.6 / 255)
    assert (dataset(images).images == 100).all()


def test_more_images_than_one_conversion_takes():
    images = np.random.default_rng(0).integers(0, 256, (2500, 2, 2), np.uint8)
    found = dataset(images / 255, np.arange(2500) % 3)
    np.testing.assert_array_equal(found.images[..., 0], images)


@pytest.mark.parametrize("dtype", ["int64", "uint16", "int16"])
def test_integers_up_to_255_are_pixels(dtype):
    found = dataset(IMAGES.astype(dtype))
    np.testing.assert_array_equal(found.images[..., 0], IMAGES)
    assert (found.images.dtype, found.warnings) == (np.uint8, [])


def test_pixels_are_not_copied():
    images = IMAGES[..., None]
    assert np.shares_memory(dataset(images).images, images)


def test_labels_of_one_column():
    found = dataset(labels=LABELS[:, None].astype(np.uint8))
    assert found.labels.dtype == np.int32
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.class_names == ["0", "1"]


@pytest.mark.parametrize("labels", [NAMES, NAMES.astype(object), NAMES.tolist()])
def test_names_as_labels(labels):
    found = dataset(labels=labels)
    assert found.class_names == ["cat", "owl"]
    np.testing.assert_array_equal(found.labels, 1 - LABELS)


def test_names_are_in_natural_order_or_as_given():
    labels = [f"class {i % 11}" for i in range(20)]
    assert dataset(labels=labels).class_names == [f"class {i}" for i in range(11)]
    found = dataset(labels=NAMES, class_names=("owl", "dog", "cat"))
    assert found.class_names == ["owl", "dog", "cat"]
    np.testing.assert_array_equal(found.labels, 2 * LABELS)


def test_names_are_compared_in_one_form_of_unicode():
    found = dataset(labels=["e\u0301", "a"] * 10, class_names=["\u00e9", "a"])
    np.testing.assert_array_equal(found.labels, LABELS)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"shape \(6, 8\); give at least one, \[N, H, W\]"),
        (IMAGES[:0], r"shape \(0, 6, 8, 1\); give at least one"),
        (IMAGES.reshape(20, 48), r"shape \(20, 48\)"),
        (IMAGES[..., None].repeat(2, 3), "with 1 or 3 channels"),
        (np.zeros((4, 3, 8, 8), np.uint8), r"images.transpose\(0, 2, 3, 1\) moves the channels"),
        (IMAGES.astype(float), r"are float64 from 0 to 255; give .*images.astype\('uint8'\), or"),
        (IMAGES / 127.5 - 1, r"from -1 to 1; give uint8 .* \(config.data.mean and .* normalize"),
        (np.full((20, 2, 2), np.nan), "are float64 with NaN; give uint8"),
        (np.where(IMAGES[0, 0, 0] == IMAGES, np.nan, 0.5), "are float64 with NaN"),
        (IMAGES.astype(int) + 1, "are int64 from 1 to 256"),
        (IMAGES.astype(int) - 1, "are int64 from -1 to 254"),
        (IMAGES > 9, "are bool; give uint8"),
        ([[1, 2], [3]], "are not an array .*; give a NumPy array"),
    ],
)
def test_invalid_images(images, message):
    with pytest.raises(UserError, match=f"^data: images .*{message}"):
        dataset(images)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:9], r"have the shape \(9,\), and there are 20 images; give one label for each\."),
        (np.eye(2)[LABELS], r"shape \(20, 2\), .* \(labels.argmax\(1\) converts one-hot"),
        (LABELS.astype(float), "are float64; give integers from 0, or names"),
        (LABELS > 0, "are bool; give integers"),
        (np.array(["a", None] * 10), "are object, such as None; give integers from 0, or names"),
        (LABELS - 1, "begin at -1; give integers from 0"),
        (LABELS + 19, "up to 20, and there are 20 images; number the classes from 0, or give cl"),
    ],
)
def test_invalid_labels(labels, message):
    with pytest.raises(UserError, match=f"^data: labels .*{message}"):
        dataset(labels=labels)


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (LABELS * 0, None, "there is only the class '0'; give images of two classes"),
        (NAMES[:1].repeat(20), None, "there is only the class 'owl'"),
        (LABELS, ["a"], "there is only the class 'a'"),
        (LABELS, 3, "class_names is 3; give a list of names"),
        (LABELS, ["a", "b", "a"], "class_names has 'a' 2 times; give different names"),
        (np.arange(20) % 3, ["a", "b"], "labels are up to 2, and there are 2 classes; .* 0 to 1"),
        (NAMES, ["cats", "owl"], "there is no class 'cat'; did you mean 'cats'.* Valid: cats, owl"),
    ],
)
def test_invalid_classes(labels, names, message):
    with pytest.raises(UserError, match=f"^data: {message}"):
        dataset(labels=labels, class_names=names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({WHOLE: IMAGES}, r"data: got ndarray; give a pair \(images, labels\)"),
        ({WHOLE: (*PAIR, *PAIR)}, "data: got tuple of 4; give a pair"),
        ({WHOLE: (PAIR, PAIR)}, r"data: got two pairs; give \{'train': \(images, labels\), 'test'"),
        ({"train": PAIR, "val": PAIR}, "unknown split of data 'val'.* Valid: .*validation"),
        (
            {"train": PAIR, "test": (IMAGES[:, :5], LABELS)},
            r"data, test: images are \(5, 8, 1\), and those of train \(6, 8, 1\); give .* one size",
        ),
        (
            {"train": (IMAGES, NAMES), "test": (IMAGES, ["dog"] * 20)},
            "data, test: there is no class 'dog'",
        ),
        ({"train": PAIR, "test": (IMAGES, LABELS + 1)}, "data, test: labels are up to 2"),
    ],
)
def test_invalid_content(content, message):
    with pytest.raises(UserError, match=message):
        array_datasets("data", content)


def test_class_names_in_the_content():
    found = array_datasets("data", {"train": PAIR, "test": PAIR, "class_names": ["a", "b"]})
    assert list(found) == ["train", "test"]
    assert found["test"].class_names == ["a", "b"]
    found = array_datasets("data", {"train": (IMAGES, NAMES), "class_names": None})
    assert found["train"].class_names == ["cat", "owl"]
