import numpy as np
import pytest

from flax_vision.analysis.report.figures.mistakes import confidence_text, mistakes, most_confident

LABELS = np.array([0, 1, 2, 0, 1])
TAKEN_FOR = np.array([1, 1, 0, -1, 2])
CONFIDENCE = np.array([0.5, 1.0, 0.75, 0.9, 0.25])


def test_the_surest_come_first_and_what_is_right_or_unreadable_does_not():
    assert most_confident(LABELS, TAKEN_FOR, CONFIDENCE).tolist() == [2, 0, 4]
    assert most_confident(LABELS, TAKEN_FOR, CONFIDENCE, 1).tolist() == [2]


@pytest.mark.parametrize("shape", [(3, 8, 8, 1), (3, 8, 16, 3)])
def test_each_image_has_its_classes(shape):
    images = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    places = np.array([2, 0, 4])
    of = LABELS[places], TAKEN_FOR[places], CONFIDENCE[places]
    (axes,) = mistakes(images, *of, ["cat", "dog", "owl"]).axes
    assert [text.get_text() for text in axes.texts] == [
        *("predicted cat", "is owl", "75.00% sure"),
        *("predicted dog", "is cat", "50.00% sure"),
        *("predicted owl", "is dog", "25.00% sure"),
    ]
    for shown, image in zip(axes.images, images, strict=True):
        np.testing.assert_array_equal(shown.get_array().reshape(image.shape), image)


def test_photographs_have_the_names_of_their_files():
    image = np.zeros((1, 8, 8, 1), np.uint8)
    one = np.array([0]), np.array([1]), np.array([0.5])
    (axes,) = mistakes(image, *one, ["cat", "dog"], file_names=["train/cat/1.png"]).axes
    assert [text.get_text() for text in axes.texts][-1] == "1.png"


@pytest.mark.parametrize(
    ("confidence", "text"),
    [(0.5, "50.00%"), (0.9997, "99.97%"), (0.99995, ">99.99%"), (1.0, ">99.99%")],
)
def test_confidence_is_never_rounded_to_100_percent(confidence, text):
    assert confidence_text(confidence) == text
