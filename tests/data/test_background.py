import dataclasses

import numpy as np
import pytest

from flax_vision.data.background import (
    Background,
    background_hint,
    edge_levels,
    measure_background,
    sample_edge_levels,
)
from flax_vision.data.mnist_5k import load_mnist_5k


def ignore(*progress):
    pass


@pytest.fixture(scope="module")
def mnist():
    return load_mnist_5k()


@pytest.fixture(scope="module")
def background(mnist):
    return measure_background(mnist[0], ignore)


def test_levels_are_of_the_outermost_pixels():
    images = np.full((2, 4, 5, 3), 99, np.uint8)
    images[:, 1:-1, 1:-1] = 0
    images[1] = 255 - images[1]
    np.testing.assert_array_equal(edge_levels(images), [99, 156])


def test_background_has_mean_and_std_of_the_images(digits):
    levels = edge_levels(digits.images)
    calls = []
    found = measure_background(digits, lambda *call: calls.append(call))
    assert found.mean == pytest.approx(levels.mean(), abs=1e-3)
    assert found.std == pytest.approx(levels.std(), abs=1e-3)
    assert calls == [("background of the images", 40, 40)]


def test_at_most_five_hundred_images_are_measured(mnist):
    assert len(sample_edge_levels(mnist[0], ignore)) == 500


def test_set_whose_images_cannot_be_read_has_no_background(digits):
    class Unreadable(type(digits)):
        def batches(self, index_groups, epoch):
            found = super().batches(index_groups, epoch)
            return ((images, ~is_readable) for images, is_readable in found)

    unreadable = Unreadable(digits.images, digits.labels, digits.class_names)
    assert measure_background(unreadable, ignore) is None
    empty = dataclasses.replace(digits, images=digits.images[:0], labels=digits.labels[:0])
    assert measure_background(empty, ignore) is None


def test_digits_on_their_own_background_get_no_hint(mnist, background):
    levels = edge_levels(mnist[1].images)
    assert background_hint(levels, background) == ""
    assert not any(background_hint(levels[i : i + 1], background) for i in range(len(levels)))


@pytest.mark.parametrize("count", [1, 3, 1000])
@pytest.mark.parametrize("paper", [255, 190])
def test_dark_digits_on_light_paper_get_a_hint(paper, count, mnist, background):
    images = paper - mnist[1].images[:count] * (paper / 255)
    assert background_hint(edge_levels(images), background) == (
        "most of these images have a light background, but the training images have a dark one "
        f"(gray level of the edges: {paper} here, 0 in training); invert the images, for example "
        "with PIL.ImageOps.invert"
    )


@pytest.mark.parametrize("paper", [155, 128])
def test_digits_on_gray_paper_get_a_hint_without_the_advice_to_invert(paper, mnist, background):
    """Inverted, their background would still be far from the one of training."""
    images = paper - mnist[1].images * (paper / 255)
    assert background_hint(edge_levels(images), background) == (
        "most of these images have a light background, but the training images have a dark one "
        f"(gray level of the edges: {paper} here, 0 in training); the model may be wrong on them, "
        "so give images with a background as in training"
    )


@pytest.mark.parametrize(
    ("level", "trained", "tones"),
    [(100, 0, "lighter darker"), (0, 120, "darker lighter"), (160, 240, "darker lighter")],
)
def test_hint_compares_two_dark_or_two_light_backgrounds(level, trained, tones):
    here, there = tones.split()
    hint = background_hint(np.array([float(level)]), Background(trained, 1.0))
    assert hint.startswith(
        f"most of these images have a {here} background, but the training images have a {there} one"
    )
    assert "invert" not in hint


def test_photographs_for_a_model_of_digits_get_a_hint(background):
    levels = np.clip(np.random.default_rng(0).normal(115, 55, 1000), 0, 255)
    assert "the model may be wrong on them" in background_hint(levels, background)


def test_light_digits_get_a_hint_where_training_had_light_paper(mnist):
    hint = background_hint(edge_levels(mnist[1].images), Background(250.0, 3.0))
    assert hint.startswith("most of these images have a dark background, but the training images")


def test_half_of_the_images_get_no_hint(background):
    assert background_hint(np.array([0.0, 255.0]), background) == ""
    assert background_hint(np.array([0.0, 255.0, 255.0]), background)


def test_photographs_get_no_hint():
    """Their edges have all levels, in training and in a test."""
    random = np.random.default_rng(0)
    levels = np.clip(random.normal(115, 55, 1000), 0, 255)
    photographs = Background(levels.mean(), levels.std())
    assert not any(background_hint(np.full(3, x), photographs) for x in range(256))


def test_no_background_or_no_images_get_no_hint(background):
    assert background_hint(np.array([255.0]), None) == ""
    assert background_hint(np.array([]), background) == ""
