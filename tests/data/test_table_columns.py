"""Tests of the choice of columns, and of labels."""

import numpy as np
import pytest
from tiny_tables import table

from flax_vision.data.flags import TRAIN_FLAGS
from flax_vision.data.table_columns import Columns, LabelColumn, find_columns, known_classes
from flax_vision.errors import UserError

datasets = pytest.importorskip("datasets", reason="it is in the extra `hf`")


def dataset(labels=("a", "b"), **columns):
    return datasets.Dataset.from_dict(table(labels=list(labels)) | columns)


def find(data, image="", label=""):
    return find_columns("birds", data, Columns(image, label), TRAIN_FLAGS)


def test_columns_by_type():
    data = dataset(score=[0.5, 1.0])
    assert find(data) == Columns("image", "label")
    assert find(data.rename_columns({"image": "x", "label": "y"})) == Columns("x", "y")


def test_features_come_first():
    data = dataset([0, 1], kind=[1, 0], thumbnail=table(labels=[0, 1])["image"])
    assert find(data.cast_column("thumbnail", datasets.Image())).image == "thumbnail"
    names = datasets.ClassLabel(names=["x", "y"])
    assert find(data.cast_column("kind", names), "image").label == "kind"


def test_column_named_label_comes_before_others():
    assert find(dataset(name=["x", "y"], index=[0, 1])).label == "label"


def test_index_of_pandas_is_no_label():
    data = dataset().rename_column("label", "kind").add_column("__index_level_0__", [4, 7])
    assert find(data).label == "kind"


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        (lambda x: x.remove_columns("image"), {}, "has no column of images .its columns: label."),
        (lambda x: x.remove_columns("label"), {}, "no column of labels .its columns: image.; give"),
        (
            lambda x: x.rename_column("label", "fine").add_column("coarse", [0, 1]),
            {},
            "columns 'fine' and 'coarse' of labels .*give --config.data.label_column=NAME of one",
        ),
        (
            lambda x: x.add_column("thumbnail", x["image"]),
            {},
            "columns 'image' and 'thumbnail' of images.*--config.data.image_column=NAME",
        ),
        (lambda x: x, {"label": "lable"}, "unknown column of dataset 'birds' 'lable'.*'label'"),
        (lambda x: x, {"label": "image"}, "has a column 'image', which is not one of labels"),
        (lambda x: x, {"image": "label"}, "has a column 'label', which is not one of images"),
    ],
)
def test_wrong_columns(change, given, message):
    with pytest.raises(UserError, match=message):
        find(change(dataset()), **given)


def column(labels, feature=None):
    data = datasets.Dataset.from_dict({"label": labels})
    if feature:
        data = datasets.Dataset.from_dict({"label": labels}, datasets.Features(label=feature))
    return LabelColumn("birds, train", data, "label")


@pytest.mark.parametrize(
    ("labels", "classes", "codes"),
    [
        (["b", "a10", "a9"], ["a9", "a10", "b"], [2, 1, 0]),
        ([7, 3, 10, 3], ["3", "7", "10"], [1, 0, 2, 0]),
        ([True, False], ["False", "True"], [1, 0]),
        (["e\u0301", "\u00e9", "a"], ["a", "\u00e9"], [1, 1, 0]),
    ],
)
def test_classes_of_values(labels, classes, codes):
    labels = column(labels)
    known = known_classes(labels, (), "natural")
    assert known == classes
    np.testing.assert_array_equal(labels.encode(known, "train"), codes)


def test_sorted_classes():
    assert known_classes(column(["a9", "a10"]), (), "sorted") == ["a10", "a9"]


def test_one_class_is_an_error():
    with pytest.raises(UserError, match="birds, train has only one class, 'a'; give"):
        known_classes(column(["a", "a"]), (), "natural")


def test_missing_and_wrong_labels():
    with pytest.raises(UserError, match="birds, train: 1 row without a label, first row 1"):
        column(["a", None, "b"]).encode(["a", "b"], "train")
    labels = column([0, None], datasets.ClassLabel(names=["x", "y"]))
    with pytest.raises(UserError, match="1 row without a label, first row 1"):
        labels.encode(["x", "y"], "train")
    assert not column([None, -1], datasets.ClassLabel(names=["x", "y"])).has_labels
