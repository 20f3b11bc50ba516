"""Tests of image files grouped by shape."""

from types import SimpleNamespace

import numpy as np
import pytest
from tiny_folders import ignore, load, write_sizes

from flax_vision.evaluation.grouping import ShapeGroup, aspect_groups, center_crops

SIZES = [(16, 12), (12, 12), (12, 16), (17, 12), (19, 12), (12, 13)]
"""Widths and heights; the shorter side is 12, so nothing is resized."""

SHAPES = {(12, 16): [0, 3, 6, 9], (12, 12): [1, 5, 7, 11], (16, 12): [2, 8], (12, 18): [4, 10]}
"""Indices of the images by the height and width of their crops."""


def build(image_shape):
    """Returns a fake evaluator."""
    return SimpleNamespace(image_shape=image_shape, batch_size=4)


def test_images_are_grouped_by_shape(tmp_path):
    pixels = write_sizes(tmp_path, "ab", SIZES)
    images, _, _ = load(tmp_path)
    groups = aspect_groups(images, 12, build, ignore)
    assert [group.evaluator.image_shape[:2] for group in groups] == list(SHAPES)
    for group, (shape, indices) in zip(groups, SHAPES.items(), strict=True):
        (batch,) = group.batches(len(indices))
        np.testing.assert_array_equal(batch.indices, indices)
        np.testing.assert_array_equal(batch.labels, images.labels[indices])
        for crop, index in zip(np.asarray(batch.images), indices, strict=True):
            height, width, _ = pixels[index].shape
            top, left = (height - shape[0]) // 2, (width - shape[1]) // 2
            center = pixels[index][top : top + shape[0], left : left + shape[1]]
            np.testing.assert_array_equal(crop, center)


def test_center_crops_to_the_pixel(tmp_path):
    pixels = write_sizes(tmp_path, "ab", SIZES)
    (group,) = center_crops(load(tmp_path)[0], 12, build)
    (batch,) = group.batches(12)
    np.testing.assert_array_equal(batch.indices, np.arange(12))
    for crop, image in zip(np.asarray(batch.images), pixels, strict=True):
        top, left = ((side - 12) // 2 for side in image.shape[:2])
        np.testing.assert_array_equal(crop, image[top : top + 12, left : left + 12])


def test_images_without_a_header_join_the_first_group(tmp_path):
    write_sizes(tmp_path, "ab", SIZES)
    (tmp_path / "a/1.png").write_bytes(b"nothing")
    images, _, _ = load(tmp_path, on_error="skip")
    groups = aspect_groups(images, 12, build, ignore)
    assert [group.indices.tolist() for group in groups] == [
        *([0, 1, 3, 6, 9], [2, 8], [4, 10], [5, 7, 11])
    ]
    batches = [batch for group in groups for batch in group.batches(5)]
    counted = np.concatenate([batch.indices[batch.mask] for batch in batches])
    assert sorted(counted) == [0, *range(2, 12)]
    # One name is enough for a warning.
    assert [len(group.images.unreadable) for group in groups] == [1, 0, 0, 0]


def test_no_image_has_a_header(tmp_path):
    write_sizes(tmp_path, "ab", SIZES[:1])
    for name in "ab":
        (tmp_path / name / "0.png").write_bytes(b"nothing")
    images, _, _ = load(tmp_path, on_error="skip")
    (group,) = aspect_groups(images, 12, build, ignore)
    assert group.indices.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("count", "requested", "expected"),
    [(3, None, 3), (4, None, 4), (5, None, 3), (9, None, 3), (10, None, 4), (9, 8, 8), (9, 20, 9)],
)
def test_batches_of_a_shape_have_nearly_equal_sizes(count, requested, expected):
    assert ShapeGroup(build(()), range(count), np.arange(count)).batch_size(requested) == expected
