"""Photographs under protocols, by their shape."""

from types import SimpleNamespace

import numpy as np
import pytest
from tiny_folders import ignore, load, write_sizes

from flax_vision.evaluation.grouping import ShapeGroup, in_their_proportions, middle_squares

SIZES = [(16, 12), (12, 12), (12, 16), (17, 12), (19, 12), (12, 13)]
"""Width and height: no photograph is scaled where its shorter side is brought to 12."""

SHAPES = {(12, 16): [0, 3, 6, 9], (12, 12): [1, 5, 7, 11], (16, 12): [2, 8], (12, 18): [4, 10]}
"""Heights and widths that they are cut to, and where those are in the set."""


def prepare(image_shape):
    """Returns what stands for a network under a protocol."""
    return SimpleNamespace(image_shape=image_shape, batch_size=4)


def test_photographs_of_one_shape_are_tested_together(tmp_path):
    pixels = write_sizes(tmp_path, "ab", SIZES)
    photographs, _, _ = load(tmp_path)
    showings = in_their_proportions(photographs, 12, prepare, ignore)
    assert [showing.trial.image_shape[:2] for showing in showings] == list(SHAPES)
    for showing, (shape, places) in zip(showings, SHAPES.items(), strict=True):
        (batch,) = showing.batches(len(places))
        np.testing.assert_array_equal(batch.indices, places)
        np.testing.assert_array_equal(batch.labels, photographs.labels[places])
        for crop, place in zip(np.asarray(batch.images), places, strict=True):
            height, width, _ = pixels[place].shape
            top, left = (height - shape[0]) // 2, (width - shape[1]) // 2
            middle = pixels[place][top : top + shape[0], left : left + shape[1]]
            np.testing.assert_array_equal(crop, middle)


def test_middle_squares_to_the_pixel(tmp_path):
    pixels = write_sizes(tmp_path, "ab", SIZES)
    (showing,) = middle_squares(load(tmp_path)[0], 12, prepare)
    (batch,) = showing.batches(12)
    np.testing.assert_array_equal(batch.indices, np.arange(12))
    for crop, image in zip(np.asarray(batch.images), pixels, strict=True):
        top, left = ((side - 12) // 2 for side in image.shape[:2])
        np.testing.assert_array_equal(crop, image[top : top + 12, left : left + 12])


def test_photographs_without_a_header_go_with_others(tmp_path):
    write_sizes(tmp_path, "ab", SIZES)
    (tmp_path / "a/1.png").write_bytes(b"nothing")
    photographs, _, _ = load(tmp_path, on_error="skip")
    showings = in_their_proportions(photographs, 12, prepare, ignore)
    assert [showing.places.tolist() for showing in showings] == [
        *([0, 1, 3, 6, 9], [2, 8], [4, 10], [5, 7, 11])
    ]
    batches = [batch for showing in showings for batch in showing.batches(5)]
    counted = np.concatenate([batch.indices[batch.mask] for batch in batches])
    assert sorted(counted) == [0, *range(2, 12)]
    # Once a name is all that a warning needs.
    assert [len(showing.images.unreadable) for showing in showings] == [1, 0, 0, 0]


def test_no_photograph_has_a_header(tmp_path):
    write_sizes(tmp_path, "ab", SIZES[:1])
    for name in "ab":
        (tmp_path / name / "0.png").write_bytes(b"nothing")
    photographs, _, _ = load(tmp_path, on_error="skip")
    (showing,) = in_their_proportions(photographs, 12, prepare, ignore)
    assert showing.places.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [(3, None, 3), (4, None, 4), (5, None, 3), (9, None, 3), (10, None, 4), (9, 8, 8), (9, 20, 9)],
)
def test_batches_of_a_shape_are_of_like_size(count, wanted, expected):
    assert ShapeGroup(prepare(()), range(count), np.arange(count)).batch_size(wanted) == expected
