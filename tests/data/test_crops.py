"""Parts of photographs, by hand and by their distribution."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from flax_vision.data.crops import INTERPOLATIONS, CropBox, CropPolicy, nearly_whole, scaled

FIXED = CropPolicy(size=4, eval_resize=6, resize_range=(6, 6))
AREA = CropPolicy(size=4, eval_resize=4, resize_range=(4, 4), scale=(0.08, 1.0))


def parts(crop, width, height, count):
    random = np.random.default_rng(0)
    return [crop.training(width, height, random) for _ in range(count)]


def test_scaled_keeps_the_proportion():
    assert scaled((300, 400), 256) == (256, 341)
    assert scaled((400, 300), 256) == (341, 256)
    assert scaled((28, 28), 32) == (32, 32)
    assert scaled((99, 88), 12) == (14, 12)  # 13.5, which 99 times 12 / 88 is just below


def test_shorter_side_is_exact():
    assert all(scaled((shorter, shorter + 7), 224)[0] == 224 for shorter in range(1, 300))


@pytest.mark.parametrize(
    ("width", "height", "part"),
    [
        (6, 6, (1, 1, 5, 5)),
        (10, 6, (3, 1, 7, 5)),
        (6, 11, (1, 3, 5, 7)),  # of the places 3 and 4 the first
        (12, 24, (2, 8, 10, 16)),  # two pixels of the file for one
        (3, 5, (0.5, 1.5, 2.5, 3.5)),  # smaller than the view
    ],
)
def test_middle(width, height, part):
    assert FIXED.middle.part(width, height) == CropBox(*part)


def test_middle_of_a_side_that_is_rounded():
    """7x11 is brought to 6x9, of which the places 1 to 5 and 2 to 6 are taken."""
    expected = CropBox(1 * 7 / 6, 2 * 11 / 9, 5 * 7 / 6, 6 * 11 / 9)
    assert FIXED.middle.part(7, 11)[:4] == pytest.approx(expected[:4])


@pytest.mark.parametrize(
    ("width", "height", "brought_to", "place"),
    [
        (7, 11, (6, 9), (1, 2)),  # 2.5 is rounded to the even number
        (11, 13, (6, 7), (1, 2)),  # 7.09 is cut; 1.5 is rounded to the even number
        (29, 20, (8, 6), (2, 1)),  # 8.7 is cut, not rounded
        (3, 3, (6, 6), (1, 1)),  # small ones are enlarged
    ],
)
def test_middle_as_torchvisions_resize_and_center_crop_have_it(width, height, brought_to, place):
    crop = dataclasses.replace(FIXED, as_torchvision=True)
    left, top = place
    expected = CropBox(left, top, left + 4, top + 4, brought_to=brought_to)
    assert crop.middle.part(width, height) == expected


def test_every_place_is_as_likely():
    places = [(part.left, part.top) for part in parts(FIXED, 7, 6, 4800)]
    found, counts = np.unique(places, axis=0, return_counts=True)
    assert found.tolist() == [[left, top] for left in range(4) for top in range(3)]
    assert counts == pytest.approx(np.full(12, 400), rel=0.2)


def test_every_scale_is_as_likely():
    crop = CropPolicy(size=4, eval_resize=8, resize_range=(5, 8))
    sizes = [round(part.width, 6) for part in parts(crop, 40, 40, 4000)]
    found, counts = np.unique(sizes, return_counts=True)
    assert found == pytest.approx([40 * 4 / scale for scale in (8, 7, 6, 5)])
    assert counts == pytest.approx(np.full(4, 1000), rel=0.15)
    assert all(part.width == pytest.approx(part.height) for part in parts(crop, 40, 40, 100))


def test_areas_are_uniform_and_aspects_are_as_often_wide_as_high():
    found = parts(AREA, 1000, 1000, 20_000)
    areas = np.array([part.width * part.height for part in found]) / 1000**2
    aspects = np.array([part.width / part.height for part in found])
    assert areas.min() == pytest.approx(0.08, abs=0.002)
    assert areas.max() > 0.95
    # Up to 3/4 of the area every aspect has room, so that nothing is drawn again.
    inside = areas < 0.75
    shares, _ = np.histogram(areas[inside], bins=10, range=(0.08, 0.75))
    assert shares / inside.sum() == pytest.approx(np.full(10, 0.1), abs=0.015)
    logarithms = np.log(aspects[inside])
    shares, _ = np.histogram(logarithms, bins=8, range=(np.log(3 / 4), np.log(4 / 3)))
    assert shares / inside.sum() == pytest.approx(np.full(8, 0.125), abs=0.02)


def test_parts_of_an_area_lie_anywhere_inside():
    found = np.array([part[:4] for part in parts(AREA, 60, 40, 3000)])
    assert (found == np.rint(found)).all()
    assert found[:, :2].min() == 0
    assert (found[:, 2].max(), found[:, 3].max()) == (60, 40)
    assert {0, 1, 2} <= set(found[:, 0])


@pytest.mark.parametrize(
    ("width", "height", "part"),
    [(1000, 10, (493, 0, 506, 10)), (10, 1000, (0, 493, 10, 506)), (1, 1, (0, 0, 1, 1))],
)
def test_middle_where_no_part_has_room(width, height, part):
    crop = CropPolicy(size=4, eval_resize=4, resize_range=(4, 4), scale=(0.9, 1.0))
    assert parts(crop, width, height, 1) == [CropBox(*part)]


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
def test_nearly_all_of_a_photograph(width, height, shape):
    middle = nearly_whole(width, height, 256, 3)
    assert middle.image_shape == (*shape, 3)
    part = middle.part(width, height)
    # The shorter side is whole, and as much of the longer one is missing at each end.
    assert (part.height if width >= height else part.width) == pytest.approx(min(width, height))
    assert part.left + part.right == pytest.approx(width, abs=max(width, height) / 256)
    assert part.top + part.bottom == pytest.approx(height, abs=max(width, height) / 256)


def test_photographs_have_few_shapes_and_lose_little():
    random = np.random.default_rng(0)
    shapes = set()
    for width, height in random.integers(1, 3000, (4000, 2)).tolist():
        middle = nearly_whole(width, height, 64, 3)
        shapes.add(middle.image_shape)
        part = middle.part(width, height)
        assert min(part.left, part.top) >= 0
        assert max(part.right - width, part.bottom - height) < 1e-6
        if max(width, height) < 2.5 * min(width, height):
            assert part.width * part.height > 0.78 * width * height
    assert len(shapes) == 15


@pytest.mark.parametrize("area", [(), (0.5, 1.0)])
def test_four_interpolations_are_equally_frequent(area):
    crop = CropPolicy(
        size=4, eval_resize=4, resize_range=(4, 8), scale=area, interpolation="random"
    )
    found = Counter(part.interpolation for part in parts(crop, 12, 9, 2000))
    assert set(found) == set(INTERPOLATIONS)
    assert min(found.values()) > 430  # of 500, of which the deviation is 19


def test_places_do_not_depend_on_the_interpolation():
    crop = CropPolicy(size=4, eval_resize=4, resize_range=(4, 8))
    other = dataclasses.replace(crop, interpolation="random")
    (part,), (same,) = parts(crop, 12, 9, 1), parts(other, 12, 9, 1)
    assert same._replace(interpolation="bilinear") == part
    assert crop.middle.part(12, 9).interpolation == "bilinear"


def test_parts_of_the_middle_square():
    crop = CropPolicy(size=4, eval_resize=6, resize_range=(6, 6), center_square=True)
    found = {(part.left, part.top) for part in parts(crop, 12, 6, 300)}
    assert found == {(left, top) for left in (3, 4, 5) for top in (0, 1, 2)}
    found = {(part.left, part.top) for part in parts(crop, 12, 16, 300)}
    assert found == {(left, top) for left in (0, 2, 4) for top in (2, 4, 6)}
