"""Crops of photographs, by hand and by their distribution."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from flax_vision.data.crops import (
    INTERPOLATIONS,
    CropBox,
    CropPolicy,
    aspect_bucket_crop,
    resized_size,
)

FIXED = CropPolicy(size=4, eval_resize=6, resize_range=(6, 6))
AREA = CropPolicy(size=4, eval_resize=4, resize_range=(4, 4), scale=(0.08, 1.0))


def random_crops(crop, width, height, count):
    random = np.random.default_rng(0)
    return [crop.random_crop(width, height, random) for _ in range(count)]


def test_resized_size_keeps_the_proportion():
    assert resized_size((300, 400), 256) == (256, 341)
    assert resized_size((400, 300), 256) == (341, 256)
    assert resized_size((28, 28), 32) == (32, 32)
    assert resized_size((99, 88), 12) == (14, 12)  # 13.5, which 99 times 12 / 88 is just below


def test_shorter_side_is_exact():
    assert all(resized_size((shorter, shorter + 7), 224)[0] == 224 for shorter in range(1, 300))


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (6, 6, (1, 1, 5, 5)),
        (10, 6, (3, 1, 7, 5)),
        (6, 11, (1, 3, 5, 7)),  # the first of the offsets 3 and 4
        (12, 24, (2, 8, 10, 16)),  # two pixels of the file for one
        (3, 5, (0.5, 1.5, 2.5, 3.5)),  # smaller than the crop
    ],
)
def test_center_crop(width, height, box):
    assert FIXED.center_crop.crop_boxes(width, height) == [CropBox(*box)]


def test_center_crop_of_a_rounded_side():
    """7x11 is resized to 6x9, and the crop has columns 1 to 5 and rows 2 to 6."""
    expected = CropBox(1 * 7 / 6, 2 * 11 / 9, 5 * 7 / 6, 6 * 11 / 9)
    assert FIXED.center_crop.crop_boxes(7, 11)[0][:4] == pytest.approx(expected[:4])


@pytest.mark.parametrize(
    ("width", "height", "resize_to", "offset"),
    [
        (7, 11, (6, 9), (1, 2)),  # 2.5 is rounded to the even number
        (11, 13, (6, 7), (1, 2)),  # 7.09 is cut; 1.5 is rounded to the even number
        (29, 20, (8, 6), (2, 1)),  # 8.7 is cut, not rounded
        (3, 3, (6, 6), (1, 1)),  # small ones are enlarged
    ],
)
def test_center_crop_equals_torchvisions(width, height, resize_to, offset):
    crop = dataclasses.replace(FIXED, as_torchvision=True)
    left, top = offset
    expected = CropBox(left, top, left + 4, top + 4, resize_to=resize_to)
    assert crop.center_crop.crop_boxes(width, height) == [expected]


def test_offsets_are_uniform():
    offsets = [(box.left, box.top) for box in random_crops(FIXED, 7, 6, 4800)]
    found, counts = np.unique(offsets, axis=0, return_counts=True)
    assert found.tolist() == [[left, top] for left in range(4) for top in range(3)]
    assert counts == pytest.approx(np.full(12, 400), rel=0.2)


def test_resize_range_is_uniform():
    crop = CropPolicy(size=4, eval_resize=8, resize_range=(5, 8))
    sizes = [round(box.width, 6) for box in random_crops(crop, 40, 40, 4000)]
    found, counts = np.unique(sizes, return_counts=True)
    assert found == pytest.approx([40 * 4 / scale for scale in (8, 7, 6, 5)])
    assert counts == pytest.approx(np.full(4, 1000), rel=0.15)
    assert all(box.width == pytest.approx(box.height) for box in random_crops(crop, 40, 40, 100))


def test_areas_and_logarithms_of_aspects_are_uniform():
    found = random_crops(AREA, 1000, 1000, 20_000)
    areas = np.array([box.width * box.height for box in found]) / 1000**2
    aspects = np.array([box.width / box.height for box in found])
    assert areas.min() == pytest.approx(0.08, abs=0.002)
    assert areas.max() > 0.95
    # Up to 3/4 of the area every aspect fits, so nothing is drawn again.
    inside = areas < 0.75
    shares, _ = np.histogram(areas[inside], bins=10, range=(0.08, 0.75))
    assert shares / inside.sum() == pytest.approx(np.full(10, 0.1), abs=0.015)
    logarithms = np.log(aspects[inside])
    shares, _ = np.histogram(logarithms, bins=8, range=(np.log(3 / 4), np.log(4 / 3)))
    assert shares / inside.sum() == pytest.approx(np.full(8, 0.125), abs=0.02)


def test_random_resized_crops_lie_anywhere_inside():
    found = np.array([box[:4] for box in random_crops(AREA, 60, 40, 3000)])
    assert (found == np.rint(found)).all()
    assert found[:, :2].min() == 0
    assert (found[:, 2].max(), found[:, 3].max()) == (60, 40)
    assert {0, 1, 2} <= set(found[:, 0])


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [(1000, 10, (493, 0, 506, 10)), (10, 1000, (0, 493, 10, 506)), (1, 1, (0, 0, 1, 1))],
)
def test_center_crop_if_no_random_crop_fits(width, height, box):
    crop = CropPolicy(size=4, eval_resize=4, resize_range=(4, 4), scale=(0.9, 1.0))
    assert random_crops(crop, width, height, 1) == [CropBox(*box)]


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [
        (300, 300, (256, 256)),
        (500, 375, (256, 338)),  # of 341
        (375, 500, (338, 256)),
        (500, 333, (256, 381)),  # of 384
        (334, 500, (381, 256)),  # of 383
        (1920, 1080, (256, 451)),  # of 455
        (110, 100, (256, 256)),
        (9, 1000, (640, 256)),
    ],
)
def test_aspect_bucket_crop_has_nearly_the_whole_photograph(width, height, shape):
    center_crop = aspect_bucket_crop(width, height, 256, 3)
    assert center_crop.image_shape == (*shape, 3)
    (box,) = center_crop.crop_boxes(width, height)
    # The shorter side is whole, and as much of the longer one is missing at each end.
    assert (box.height if width >= height else box.width) == pytest.approx(min(width, height))
    assert box.left + box.right == pytest.approx(width, abs=max(width, height) / 256)
    assert box.top + box.bottom == pytest.approx(height, abs=max(width, height) / 256)


def test_aspect_buckets_are_few_and_lose_little():
    random = np.random.default_rng(0)
    shapes = set()
    for width, height in random.integers(1, 3000, (4000, 2)).tolist():
        center_crop = aspect_bucket_crop(width, height, 64, 3)
        shapes.add(center_crop.image_shape)
        (box,) = center_crop.crop_boxes(width, height)
        assert min(box.left, box.top) >= 0
        assert max(box.right - width, box.bottom - height) < 1e-6
        if max(width, height) < 2.5 * min(width, height):
            assert box.width * box.height > 0.78 * width * height
    assert len(shapes) == 15


@pytest.mark.parametrize("area", [(), (0.5, 1.0)])
def test_four_interpolations_are_equally_frequent(area):
    crop = CropPolicy(
        size=4, eval_resize=4, resize_range=(4, 8), scale=area, interpolation="random"
    )
    found = Counter(box.interpolation for box in random_crops(crop, 12, 9, 2000))
    assert set(found) == set(INTERPOLATIONS)
    assert min(found.values()) > 430  # of 500; the standard deviation is 19


def test_offsets_do_not_depend_on_the_interpolation():
    crop = CropPolicy(size=4, eval_resize=4, resize_range=(4, 8))
    other = dataclasses.replace(crop, interpolation="random")
    (box,), (same,) = random_crops(crop, 12, 9, 1), random_crops(other, 12, 9, 1)
    assert same._replace(interpolation="bilinear") == box
    assert crop.center_crop.crop_boxes(12, 9)[0].interpolation == "bilinear"


def test_crops_of_the_center_square():
    crop = CropPolicy(size=4, eval_resize=6, resize_range=(6, 6), center_square=True)
    found = {(box.left, box.top) for box in random_crops(crop, 12, 6, 300)}
    assert found == {(left, top) for left in (3, 4, 5) for top in (0, 1, 2)}
    found = {(box.left, box.top) for box in random_crops(crop, 12, 16, 300)}
    assert found == {(left, top) for left in (0, 2, 4) for top in (2, 4, 6)}
