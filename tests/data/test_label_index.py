import numpy as np
import pytest

from flax_vision.data.label_index import label_file, read_labels, write_labels

LABELS = [3, 0, -1, 999]


def test_labels_are_read_back(tmp_path):
    write_labels(tmp_path, "train", LABELS)
    labels = read_labels(tmp_path, "train", 4)
    assert labels.dtype == np.int32
    assert labels.tolist() == LABELS


def test_each_split_has_a_file_of_its_own(tmp_path):
    write_labels(tmp_path, "train", LABELS)
    write_labels(tmp_path, "validation", np.arange(2))
    assert {path.name for path in tmp_path.iterdir()} == {
        "flax_vision-labels-train.npy",
        "flax_vision-labels-validation.npy",
    }
    assert read_labels(tmp_path, "validation", 2).tolist() == [0, 1]


def test_missing_file(tmp_path):
    assert read_labels(tmp_path, "train", 4) is None


def test_another_count(tmp_path):
    write_labels(tmp_path, "train", LABELS)
    assert read_labels(tmp_path, "train", 5) is None


@pytest.mark.parametrize("damage", [lambda x: x[:-1], lambda x: b"", lambda x: b"x" + x[1:]])
def test_damaged_file(damage, tmp_path):
    write_labels(tmp_path, "train", LABELS)
    file = label_file(tmp_path, "train")
    file.write_bytes(damage(file.read_bytes()))
    assert read_labels(tmp_path, "train", 4) is None


def test_other_arrays(tmp_path):
    for array in (np.zeros(4), np.zeros((4, 1), np.int32), np.array([None] * 4)):
        np.save(label_file(tmp_path, "train"), array)
        assert read_labels(tmp_path, "train", 4) is None


def test_directory_in_place_of_the_file(tmp_path):
    label_file(tmp_path, "train").mkdir()
    assert read_labels(tmp_path, "train", 4) is None
