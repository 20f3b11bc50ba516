"""Tests of the crops of each protocol against boxes written by hand."""

import pytest

from flax_vision.data.crops import CenterCrop, CropBox
from flax_vision.errors import UserError
from flax_vision.evaluation import protocols
from flax_vision.evaluation.protocols import (
    Box,
    Crop,
    check_scales,
    default_scales,
    find_protocol,
    make_crops,
)

TEN = find_protocol("ten_crop", is_resnet=False)
DENSE = find_protocol("dense", is_resnet=False)
MULTI_CROP = find_protocol("multi_crop", is_resnet=False)
GOOGLENET = find_protocol("googlenet_144", is_resnet=False)


def boxes(crops):
    return [crop.box for crop in crops if not crop.flip]


def test_rounding_of_sizes_is_the_same_in_all_protocols():
    """Resized to a shorter side of 12, an image of 99x88 has a longer side of 13.5."""
    crops = make_crops(DENSE, (88, 99), 12, (12,))
    assert {crop.shape for crop in crops} == {(12, 14)}
    assert CenterCrop(12, 14, 12).crop_boxes(99, 88) == [CropBox(0, 0, 99, 88)]


def test_ten_crop():
    crops = make_crops(TEN, (256, 300), 224, (256,))
    corners = [(0, 0), (0, 76), (32, 0), (32, 76), (16, 38)]
    expected = [
        Crop(256, Box(top, left, 224, 224), (224, 224), flip)
        for top, left in corners
        for flip in (False, True)
    ]
    assert list(crops.elements()) == expected


def test_no_flip_omits_the_mirror_images():
    assert make_crops(TEN, (256, 256), 224, (256,), flip=False).total() == 5


def test_identical_crops_are_counted():
    (whole, mirrored), counts = zip(*make_crops(TEN, (8, 8), 8, (8,)).items(), strict=True)
    assert (whole.flip, mirrored.flip) == (False, True)
    assert counts == (5, 5)


def test_dense_uses_the_whole_image_and_its_mirror_image():
    crops = make_crops(DENSE, (300, 400), 224, (256,))
    whole = Crop(256, Box(0, 0, 256, 341), (256, 341), False)
    assert list(crops) == [whole, whole._replace(flip=True)]


def test_multi_crop_is_a_grid_of_five_by_five_at_three_scales():
    crops = make_crops(MULTI_CROP, (256, 512), 224, (256, 384, 512))
    assert crops.total() == len(crops) == 150
    first = [box for box in boxes(crops) if box.height == 224][:25]
    offsets = [(box.top, box.left) for box in first]
    assert offsets == [(t, s) for t in (0, 8, 16, 24, 32) for s in (0, 72, 144, 216, 288)]


def test_googlenet_of_a_wide_image():
    crops = make_crops(GOOGLENET, (256, 300), 224, (256, 288, 320, 352))
    assert crops.total() == 144
    first = [crop.box for crop in crops if crop.scale == 256 and not crop.flip]
    expected = []
    for left in (0, 22, 44):
        corners = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
        expected += [Box(top, left + right, 224, 224) for top, right in corners]
        expected.append(Box(0, left, 256, 256))
    assert first == expected
    assert {crop.shape for crop in crops} == {(224, 224)}


def test_googlenet_of_a_tall_image_has_its_squares_below_each_other():
    crops = make_crops(GOOGLENET, (300, 256), 224, (256,))
    squares = [box for box in boxes(crops) if box.height == 256]
    assert squares == [Box(top, 0, 256, 256) for top in (0, 22, 44)]


def test_squares_of_a_square_image_are_computed_once():
    crops = make_crops(GOOGLENET, (32, 32), 28, (32, 36, 40, 44))
    assert (crops.total(), len(crops)) == (144, 48)
    assert set(crops.values()) == {3}


@pytest.mark.parametrize(
    ("name", "crop", "train_scale", "scales"),
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
def test_scales(name, crop, train_scale, scales):
    assert default_scales(find_protocol(name, is_resnet=False), crop, train_scale) == scales


def test_imagenet_resnet_has_other_scales():
    protocol = find_protocol("multi_scale", is_resnet=True)
    assert default_scales(protocol, 224, 256) == (224, 256, 384, 480, 640)
    assert find_protocol("dense", is_resnet=True) is DENSE


def test_unknown_protocol():
    with pytest.raises(UserError, match="unknown protocol 'tencrop'; did you mean 'ten_crop'"):
        find_protocol("tencrop", is_resnet=False)


@pytest.mark.parametrize(
    ("protocol", "scales", "message"),
    [
        (TEN, (27,), "a scale is 27.*28x28.*at least 28"),
        (MULTI_CROP, (40, -3), "a scale is -3"),
        (DENSE, (0,), "a scale is 0.*at least 1"),
    ],
)
def test_scales_too_small(protocol, scales, message):
    with pytest.raises(UserError, match=message):
        check_scales(protocol, (28, 28), 28, scales)


def test_every_name_is_found():
    assert set(protocols.NAMES) == {"center", *protocols.PROTOCOLS}


def test_scales_too_large_for_memory():
    with pytest.raises(UserError, match=r"200000.*--scales of at most 2896"):
        check_scales(find_protocol("dense", is_resnet=False), (30, 60), 32, (200_000,))


def test_imagenet_resnet_averages_logits():
    assert find_protocol("multi_scale", is_resnet=True).average_logits
    assert not find_protocol("multi_scale", is_resnet=False).average_logits
