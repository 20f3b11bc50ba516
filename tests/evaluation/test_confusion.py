import numpy as np

from flax_vision.evaluation.confusion import confusion_matrix, table_of

LABELS = np.array([0, 0, 0, 1, 2, 2], np.int32)
TAKEN_FOR = np.array([0, 1, 1, 1, 0, 2], np.int32)
MATRIX = [[1, 2, 0], [0, 1, 0], [1, 0, 1]]


def test_rows_are_the_truth():
    np.testing.assert_array_equal(confusion_matrix(LABELS, TAKEN_FOR, 3), MATRIX)


def test_small_matrix_is_shown_whole():
    rows = table_of(np.array(MATRIX), ["0", "cat", "2"])
    assert rows[0] == {"class": "0", "as 0": 1, "as 1": 2, "as 2": 0}
    assert rows[1]["class"] == "1 cat"


def test_large_matrix_shows_what_is_most_frequent():
    matrix = np.diag(np.full(30, 8))
    matrix[3, 4], matrix[5, 29] = 2, 1
    rows = table_of(matrix, [f"n{i}" for i in range(30)])
    assert rows == [
        {"class": "n3", "taken for": "n4", "images": 2, "of its images, %": 20.0},
        {"class": "n5", "taken for": "n29", "images": 1, "of its images, %": 100 / 9},
    ]


def test_there_are_at_most_twenty_of_them():
    assert len(table_of(np.ones((30, 30), int), [str(i) for i in range(30)])) == 20


def test_nothing_was_confused():
    assert table_of(np.diag(np.ones(30, int)), [str(i) for i in range(30)]) == []
