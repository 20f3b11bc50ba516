import numpy as np
import pytest
from tiny_folders import CROP_POLICY, ignore, write

import flax_vision as fv
from flax_vision.data import tfds
from flax_vision.data.class_subset import select_classes
from flax_vision.data.crops import DecodeConfig
from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.data.split_record import relative_paths
from flax_vision.data.splits import Source, read_split, read_splits
from flax_vision.errors import UserError

IMAGES = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
DATASET = ArrayDataset(IMAGES, np.array([2, 0, 1, 2, -1, 0], np.int32), ["a", "b", "caf\u00e9"])


def test_labels_follow_the_order_of_the_names():
    found = select_classes(DATASET, ["cafe\u0301", "a"])
    assert found.images.ravel().tolist() == [0, 1, 3, 5]
    assert (found.labels.tolist(), found.labels.dtype) == ([0, 1, 0, 1], np.int32)
    assert found.class_names == ["cafe\u0301", "a"]


def test_no_names_are_all_classes():
    assert select_classes(DATASET, ()) is DATASET


def test_unknown_class():
    with pytest.raises(
        UserError, match="classes has 'cafe', which is.*mean 'caf\u00e9'.* Valid: a, b, c"
    ):
        select_classes(DATASET, ["a", "cafe"])


def test_embedded_digits():
    splits = read_splits(Source("mnist_5k", val_fraction=0.1, classes=("8", "3")), ignore)
    assert [np.bincount(x.labels).tolist() for x in splits] == [[360, 360], [40, 40], [100, 100]]
    _, test = load_mnist_5k()
    np.testing.assert_array_equal(
        splits.test.images[splits.test.labels == 0], test.images[test.labels == 8]
    )


def test_registered_dataset(temporary_names):
    images = np.zeros((6, 4, 4), np.uint8)
    fv.register_dataset("own", lambda: {"train": (images, np.arange(6) % 3)}, ["a", "b", "c"])
    splits = read_splits(Source("own", test_fraction=0.5, classes=("c", "a")), ignore)
    assert (sorted(splits.train.labels), splits.train.class_names) == ([0, 1], ["c", "a"])


def test_tfds(monkeypatch):
    monkeypatch.setattr(tfds, "tfds_loaders", lambda *_: {"test": lambda: DATASET})
    test = read_split(Source("pets", classes=("a", "b")), "test", ignore)
    assert (test.labels.tolist(), test.class_names) == ([0, 1, 0], ["a", "b"])


def folder(tmp_path, **settings):
    decode = DecodeConfig(CROP_POLICY)
    return Source("folder", "", str(tmp_path), 0.0, 0.5, decode, **settings)


def test_folder(tmp_path):
    write(tmp_path / "train", "abc", 2)
    write(tmp_path / "test", "acd", 1)
    (tmp_path / "train/b/broken.jpg").write_text("no image")
    (tmp_path / "train/empty").mkdir()
    splits = read_splits(folder(tmp_path, classes=("c", "a")), ignore)
    assert relative_paths(splits.train, tmp_path) == [
        *("train/a/0.png", "train/a/1.png", "train/c/0.png", "train/c/1.png")
    ]
    assert splits.train.labels.tolist() == [1, 1, 0, 0]
    assert (splits.test.labels.tolist(), splits.test.class_names) == ([1, 0], ["c", "a"])
    model = folder(tmp_path, classes=("c", "a"), class_names=("c", "a"))
    assert read_splits(model, ignore).test.labels.tolist() == [1, 0]


def test_image_files(tmp_path):
    write(tmp_path, "abc", 4)
    images = read_splits(folder(tmp_path), ignore).train
    found = select_classes(images, ["c", "a"])
    assert relative_paths(found, tmp_path) == [
        path for path in relative_paths(images, tmp_path) if path[0] in "ac"
    ]
    assert (found.labels.tolist(), found.class_names) == ([1, 1, 0, 0], ["c", "a"])


def test_unknown_class_of_a_folder(tmp_path):
    write(tmp_path, ("cats", "dogs"), 2)
    with pytest.raises(UserError, match="has 'cat', which is .* mean 'cats'. Valid: cats, dogs"):
        read_splits(folder(tmp_path, classes=("cat", "dogs")), ignore)


def test_table(tmp_path):
    write(tmp_path, "abc", 2)
    (tmp_path / "t.csv").write_text(
        "path,label\na/0.png,x\nb/0.png,y\nc/0.png,z\nc/1.png,z\na/1.png,x\ngone.png,y\n"
    )
    settings = {"labels": str(tmp_path / "t.csv"), "classes": ("z", "x")}
    splits = read_splits(folder(tmp_path, **settings), ignore)
    assert [x.labels.tolist() for x in splits] == [[1, 0], [], [1, 0]]
    with pytest.raises(UserError, match="has 'w', which is not a class.* Valid: x, y, z"):
        read_splits(folder(tmp_path, **settings | {"classes": ("x", "w")}), ignore)
