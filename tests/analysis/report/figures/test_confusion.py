import numpy as np
import pytest

from flax_vision.analysis.report.figures.confusion import _pooled, confusion
from flax_vision.errors import UserError

MATRIX = np.array([[8, 2, 0], [0, 9, 1], [0, 0, 5]])


def test_every_number_stands_in_its_cell():
    (axes,) = confusion(MATRIX, ["cat", "dog", "$owl"]).axes
    found = {text.get_position(): text.get_text() for text in axes.texts}
    assert found == {(0, 0): "8", (1, 0): "2", (1, 1): "9", (2, 1): "1", (2, 2): "5"}
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog", r"\$owl"]


def test_right_and_wrong_have_colors_of_their_own():
    wrong, right = (image.get_array() for image in confusion(MATRIX, "abc").axes[0].images)
    np.testing.assert_allclose(wrong.filled(0), [[0, 0.2, 0], [0, 0, 0.1], [0, 0, 0]])
    np.testing.assert_allclose(right.filled(0), np.diag([0.8, 0.9, 1.0]))


def test_classes_without_images_and_without_mistakes():
    assert confusion(np.diag([3, 0]), "ab").png()


def test_many_classes_share_cells():
    classes = 1000
    matrix = np.eye(classes, dtype=int) * 3
    matrix[999, 0] = 1
    (axes,) = confusion(matrix, [str(i) for i in range(classes)]).axes
    wrong, right = (image.get_array() for image in axes.images)
    assert right.shape == (125, 125)
    assert np.argwhere(wrong.filled(0)).tolist() == [[124, 0]]
    np.testing.assert_allclose(right.filled(0).diagonal()[:124], 1)
    assert axes.get_xlim() == (-0.5, 999.5)
    assert not axes.texts


def test_pooled_is_the_mean_of_what_there_is():
    found = _pooled(np.arange(9.0).reshape(3, 3), 2)
    np.testing.assert_allclose(found, [[2, 3.5], [6.5, 8]])


def test_matrix_of_other_classes():
    with pytest.raises(UserError, match="is 3x3; for 2 classes give one of 2x2"):
        confusion(MATRIX, "ab")
