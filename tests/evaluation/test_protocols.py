"""The parts that each protocol looks at, against places written by hand."""

import pytest

from flax_vision.errors import UserError
from flax_vision.evaluation import protocols
from flax_vision.evaluation.protocols import Box, View, find_protocol, scaled, sides_of, views_of

TEN = find_protocol("ten_crop", is_resnet=False)
DENSE = find_protocol("dense", is_resnet=False)
MULTI_CROP = find_protocol("multi_crop", is_resnet=False)
GOOGLENET = find_protocol("googlenet_144", is_resnet=False)


def boxes(views):
    return [view.box for view in views if not view.flip]


def test_scaled_keeps_the_proportion():
    assert scaled((300, 400), 256) == (256, 341)
    assert scaled((400, 300), 256) == (341, 256)
    assert scaled((28, 28), 32) == (32, 32)


def test_shorter_side_is_exact():
    assert all(scaled((shorter, shorter + 7), 224)[0] == 224 for shorter in range(1, 300))


def test_ten_crop():
    views = views_of(TEN, (256, 300), 224, (256,))
    corners = [(0, 0), (0, 76), (32, 0), (32, 76), (16, 38)]
    expected = [
        View(256, Box(top, left, 224, 224), (224, 224), flip)
        for top, left in corners
        for flip in (False, True)
    ]
    assert list(views.elements()) == expected


def test_no_flip_leaves_the_mirror_images_out():
    assert views_of(TEN, (256, 256), 224, (256,), flip=False).total() == 5


def test_views_that_coincide_count_as_often():
    (whole, mirrored), counts = zip(*views_of(TEN, (8, 8), 8, (8,)).items(), strict=True)
    assert (whole.flip, mirrored.flip) == (False, True)
    assert counts == (5, 5)


def test_dense_sees_the_whole_image_and_its_mirror_image():
    views = views_of(DENSE, (300, 400), 224, (256,))
    whole = View(256, Box(0, 0, 256, 341), (256, 341), False)
    assert list(views) == [whole, whole._replace(flip=True)]


def test_multi_crop_is_a_grid_of_five_by_five_at_three_scales():
    views = views_of(MULTI_CROP, (256, 512), 224, (256, 384, 512))
    assert views.total() == len(views) == 150
    first = [box for box in boxes(views) if box.height == 224][:25]
    places = [(box.top, box.left) for box in first]
    assert places == [(t, s) for t in (0, 8, 16, 24, 32) for s in (0, 72, 144, 216, 288)]


def test_googlenet_of_a_wide_image():
    views = views_of(GOOGLENET, (256, 300), 224, (256, 288, 320, 352))
    assert views.total() == 144
    first = [view.box for view in views if view.side == 256 and not view.flip]
    expected = []
    for left in (0, 22, 44):
        corners = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
        expected += [Box(top, left + right, 224, 224) for top, right in corners]
        expected.append(Box(0, left, 256, 256))
    assert first == expected
    assert {view.shape for view in views} == {(224, 224)}


def test_googlenet_of_a_high_image_has_its_squares_below_each_other():
    views = views_of(GOOGLENET, (300, 256), 224, (256,))
    squares = [box for box in boxes(views) if box.height == 256]
    assert squares == [Box(top, 0, 256, 256) for top in (0, 22, 44)]


def test_squares_of_a_square_image_are_computed_once():
    views = views_of(GOOGLENET, (32, 32), 28, (32, 36, 40, 44))
    assert (views.total(), len(views)) == (144, 48)
    assert set(views.values()) == {3}


@pytest.mark.parametrize(
    ("name", "crop", "trained", "sides"),
    [
        ("ten_crop", 224, 256, (256,)),
        ("ten_crop", 224, 384, (384,)),
        ("ten_crop", 28, 28, (32,)),
        ("dense", 224, 384, (384,)),
        ("dense", 32, 32, (32,)),
        ("multi_scale", 224, 256, (224, 256, 288)),
        ("multi_scale", 224, 384, (352, 384, 416)),
        ("multi_scale", 32, 32, (32, 37, 42)),
        ("multi_crop", 224, 256, (256, 384, 512)),
        ("googlenet_144", 224, 256, (256, 288, 320, 352)),
        ("googlenet_144", 28, 28, (32, 36, 40, 44)),
    ],
)
def test_sides(name, crop, trained, sides):
    assert sides_of(find_protocol(name, is_resnet=False), crop, trained) == sides


def test_resnet_has_scales_of_its_own():
    protocol = find_protocol("multi_scale", is_resnet=True)
    assert sides_of(protocol, 224, 256) == (224, 256, 384, 480, 640)
    assert find_protocol("dense", is_resnet=True) is DENSE


def test_protocol_that_does_not_exist():
    with pytest.raises(UserError, match="unknown protocol 'tencrop'; did you mean 'ten_crop'"):
        find_protocol("tencrop", is_resnet=False)


@pytest.mark.parametrize(
    ("protocol", "sides", "message"),
    [
        (TEN, (27,), "a scale is 27.*28x28.*at least 28"),
        (MULTI_CROP, (40, -3), "a scale is -3"),
        (DENSE, (0,), "a scale is 0.*at least 1"),
    ],
)
def test_scales_that_are_too_small(protocol, sides, message):
    with pytest.raises(UserError, match=message):
        views_of(protocol, (28, 28), 28, sides)


def test_every_name_is_found():
    assert set(protocols.NAMES) == {"center", *protocols.PROTOCOLS}


def test_scales_that_memory_cannot_hold():
    with pytest.raises(UserError, match=r"200000.*--scales of at most 2896"):
        views_of(find_protocol("dense", is_resnet=False), (30, 60), 32, (200_000,))


def test_resnet_averages_scores():
    assert find_protocol("multi_scale", is_resnet=True).of_scores
    assert not find_protocol("multi_scale", is_resnet=False).of_scores
