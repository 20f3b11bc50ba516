"""The figures of section III.C and section VII of LeNet-5's paper."""

import numpy as np
import pytest

from flax_vision.analysis.digit_strings import StringReading
from flax_vision.analysis.rejection import RejectionCurve
from flax_vision.analysis.report.figures.digit_string import digit_string
from flax_vision.analysis.report.figures.mistake_page import mistake_page
from flax_vision.analysis.report.figures.rejection import rejection
from flax_vision.errors import UserError

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def string():
    scores = np.full((8, 10), -50, np.float32)
    scores[0, 3], scores[7, 1] = -5, -8
    image = np.zeros((32, 60, 1), np.uint8)
    return image, StringReading((3, 1), (0, 7), scores)


def test_string_is_drawn_above_its_outputs(string):
    picture = digit_string(*string, truth=(3, 7))
    above, below = picture.axes
    assert above.get_title(loc="left") == "read 31, is 37"
    assert above.get_images()[0].get_array().shape == (32, 60)
    assert below.get_images()[0].get_array().shape == (10, 8)
    # Place p is centered at the column 4 p + 16, between two pixels.
    left, right, *_ = below.get_images()[0].get_extent()
    assert (left, right) == (13.5, 45.5)
    frames = [(frame.get_x(), frame.get_y()) for frame in below.patches]
    assert frames == [(13.5, 2.5), (41.5, 0.5)]
    assert above.get_xlim() == (-0.5, 59.5)
    assert picture.png().startswith(PNG)


def test_string_without_digits_and_with_names(string):
    image, reading = string
    picture = digit_string(image, reading._replace(digits=(), positions=()))
    assert picture.axes[0].get_title(loc="left") == "read nothing"
    named = digit_string(image, reading, class_names="ABCDEFGHIJ")
    assert named.axes[0].get_title(loc="left") == "read DB"


def test_rejection_of_two_models():
    curve = RejectionCurve(np.array([0, 0.1, 0.25]), np.array([0.3, 0.05, 0.0]))
    other = RejectionCurve(np.array([0, 0.5]), np.array([0.1, 0.0]))
    picture = rejection({"lenet5": curve, "linear": other}, error=0.05)
    (axes,) = picture.axes
    _, names = axes.get_legend_handles_labels()
    assert names == ["lenet5: 10.0% rejected", "linear: 50.0% rejected", "error of 5.0%"]
    assert axes.get_xlim() == (0, pytest.approx(0.525))
    assert picture.png().startswith(PNG)


def test_page_has_all_mistakes():
    images = np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4, 1)
    labels, predicted = np.array([0, 1, 2, 0, 1]), np.array([0, 2, 1, 1, -1])
    sheet = mistake_page(images, labels, predicted, ["a", "b", "c"], columns=2)
    (axes,) = sheet.axes
    shown = [np.asarray(image.get_array()) for image in axes.get_images()]
    np.testing.assert_array_equal(shown, images[[1, 2, 3], ..., 0])
    assert [text.get_text() for text in axes.texts] == ["b→c", "c→b", "a→b"]
    assert sheet.png().startswith(PNG)


@pytest.mark.parametrize(
    ("predicted", "columns", "message"),
    [([0, 1], 2, "nothing to draw"), ([1, 1], 0, "columns is 0")],
)
def test_errors_of_the_page(predicted, columns, message):
    images = np.zeros((2, 4, 4, 1), np.uint8)
    with pytest.raises(UserError, match=message):
        mistake_page(images, np.array([0, 1]), np.array(predicted), ["a", "b"], columns)
