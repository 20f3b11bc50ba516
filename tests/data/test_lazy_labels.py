import numpy as np
import pytest

from flax_vision.data.lazy_labels import LazyLabels

LABELS = np.array([2, 0, 1, 1, 2], np.int32)


@pytest.fixture
def read():
    """A function that returns labels, and the numbers of the records that it was asked for."""
    asked = []

    def read(records):
        asked.extend(np.ravel(records).tolist())
        return LABELS[records]

    read.asked = asked
    return read


@pytest.fixture
def labels(read):
    return LazyLabels(read, np.arange(5))


def test_some_labels_are_read(labels, read):
    np.testing.assert_array_equal(labels[np.array([3, 0])], [1, 2])
    assert labels[1] == 0
    assert read.asked == [3, 0, 1]


def test_mask_selects_labels(labels, read):
    np.testing.assert_array_equal(labels[LABELS == 1], [1, 1])
    assert read.asked == [2, 3]


def test_size_and_selection_read_nothing(labels, read):
    taken = labels.take(np.array([4, 1, 0])).take([0, 1])
    assert (len(taken), taken.shape, taken.ndim) == (2, (2,), 1)
    assert not read.asked
    assert np.asarray(taken).tolist() == [2, 0]
    assert read.asked == [4, 1]


@pytest.mark.parametrize(
    "function",
    [
        np.asarray,
        np.bincount,
        np.unique,
        lambda labels: np.argsort(labels, kind="stable"),
        lambda labels: labels == 1,
        lambda labels: 1 == labels,  # noqa: SIM300
        lambda labels: np.flatnonzero(labels != 2),
        lambda labels: np.array([7, 8, 9])[labels],
        lambda labels: np.setdiff1d(labels, [1]),
    ],
)
def test_functions_of_numpy_get_all_labels(function, labels):
    np.testing.assert_array_equal(function(labels), function(LABELS))


def test_types(labels):
    assert np.asarray(labels).dtype == labels.dtype == np.int32
    assert np.asarray(labels, np.int64).dtype == np.int64
    with pytest.raises(ValueError, match="no array to share"):
        np.asarray(labels, copy=False)
