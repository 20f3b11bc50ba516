"""The pixels of the fast libraries against Pillow's."""

import io

import numpy as np
import pytest
from PIL import Image

from flax_vision.data import decode, fast_jpeg
from flax_vision.data.crops import CropBox
from flax_vision.data.decode import decode_crops

pytestmark = pytest.mark.skipif(
    fast_jpeg.simplejpeg is None, reason="its libraries are in the extra `fast-jpeg`"
)

RANDOM = np.random.default_rng(0)
SIZE = 100, 75
NOISE = RANDOM.integers(0, 256, (75, 100, 3), np.uint8)


def pillows(pixels, box, size):
    image = Image.fromarray(pixels.squeeze())
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box)).reshape(
        *size[::-1], pixels.shape[2]
    )


def encoded(pixels, **settings):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **settings)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(7, 5), (40, 60), (130, 200)])
def test_scaled_box_equals_pillows_to_one_level(size, channels):
    """Noise shows each pixel of a wrong weight."""
    pixels = NOISE[..., :channels]
    boxes = [(0, 0, 100, 75), (0, 0, 9.5, 75), (91.3, 60.2, 100, 75), (20, 10, 60, 60)]
    boxes += [
        (*RANDOM.uniform(0, [50, 30]), *RANDOM.uniform([50, 30], [100, 75])) for _ in range(20)
    ]
    for box in boxes:
        found = fast_jpeg.scale(pixels, box, size)
        assert (found.shape, found.dtype) == ((*size[::-1], channels), np.uint8)
        np.testing.assert_allclose(
            found.astype(int), pillows(pixels, box, size), rtol=0, atol=1, err_msg=f"{box}"
        )


def test_most_pixels_equal_pillows():
    """Noise is the worst case: in photographs more pixels are equal."""
    found = fast_jpeg.scale(NOISE, (10, 10, 90, 70), (40, 30))
    differ = np.abs(found.astype(int) - pillows(NOISE, (10, 10, 90, 70), (40, 30)))
    assert differ.mean() < 0.3


def test_edge_beyond_the_image_by_rounding_is_clipped():
    beyond = fast_jpeg.scale(NOISE, (0.0, 0.0, 100.00000001, 75.00000001), (20, 15))
    np.testing.assert_array_equal(beyond, fast_jpeg.scale(NOISE, (0, 0, 100, 75), (20, 15)))


@pytest.mark.parametrize(("mode", "shape"), [("RGB", (75, 100, 3)), ("L", (75, 100, 1))])
def test_unscaled_pixels_are_pillows(mode, shape):
    content = encoded(NOISE)
    found = fast_jpeg.decode(content, SIZE, mode)
    image = Image.open(io.BytesIO(content))
    image.draft(mode, image.size)
    assert found.shape == shape
    np.testing.assert_array_equal(found.squeeze(), np.asarray(image.convert(mode)))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_damaged_file_is_left_to_pillow(mode):
    content = encoded(NOISE)
    assert fast_jpeg.decode(content[: len(content) // 2], SIZE, mode) is None
    assert fast_jpeg.decode(b"text", SIZE, mode) is None


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_reduced_pixels_are_pillows(mode, subsampling, factor):
    content = encoded(NOISE, subsampling=subsampling)
    image = Image.open(io.BytesIO(content))
    image.draft(mode, (100 // factor, 75 // factor))
    found = fast_jpeg.decode(content, SIZE, mode, factor)
    np.testing.assert_array_equal(found.squeeze(), np.asarray(image.convert(mode)))


@pytest.mark.parametrize(
    ("crop_box", "is_supported"),
    [
        (CropBox(0, 0, 9, 9), True),
        (CropBox(0, 0, 9, 9, "bicubic"), False),
        (CropBox(0, 0, 9, 9, "box"), False),
        (CropBox(0, 0, 9, 9, "nearest"), False),
        (CropBox(0, 0, 9, 9, resize_to=(50, 40)), False),
    ],
)
def test_only_crops_nearly_equal_to_pillows_are_supported(crop_box, is_supported, monkeypatch):
    assert fast_jpeg.supports(crop_box) is is_supported
    calls = []
    scale = fast_jpeg.scale
    monkeypatch.setattr(fast_jpeg, "scale", lambda *x: calls.append(x) or scale(*x))
    decode_crops(encoded(NOISE), lambda *_: [crop_box], (5, 5, 3))
    assert bool(calls) is is_supported


def test_one_unsupported_crop_box_leaves_all_to_pillow(monkeypatch):
    monkeypatch.setattr(fast_jpeg, "scale", None)
    crop_boxes = [CropBox(0, 0, 9, 9), CropBox(0, 0, 9, 9, "box")]
    found = decode_crops(encoded(NOISE), lambda *_: crop_boxes, (5, 5, 3))
    assert [crop.shape for crop in found] == [(5, 5, 3)] * 2


def test_turned_images_are_left_to_pillow(monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    monkeypatch.setattr(fast_jpeg, "scale", None)
    content = encoded(NOISE, exif=exif)
    (found,) = decode_crops(content, lambda w, h: [CropBox(0, 0, w, h)], (100, 75, 3))
    assert found.shape == (100, 75, 3)


def test_upright_images_of_cameras_are_fast(monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 1
    monkeypatch.setattr(decode, "_convert", None)
    crop_box = CropBox(0, 0, 100, 75)
    assert decode_crops(encoded(NOISE, exif=exif), lambda *_: [crop_box], (75, 100, 3))[0].any()
