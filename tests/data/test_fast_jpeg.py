"""The pixels of the fast libraries against Pillow's."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flax_vision.data import decode, fast_jpeg
from flax_vision.data.crops import CropBox
from flax_vision.data.decode import decode_parts

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
def test_scaled_part_is_pillows_to_one_level(size, channels):
    """Noise, so that each pixel that counts too much or too little is seen."""
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


def test_most_pixels_are_pillows():
    """Of noise, which is rounded anywhere; of photographs more are."""
    found = fast_jpeg.scale(NOISE, (10, 10, 90, 70), (40, 30))
    differ = np.abs(found.astype(int) - pillows(NOISE, (10, 10, 90, 70), (40, 30)))
    assert differ.mean() < 0.3


def test_end_that_rounding_puts_beyond_the_image_is_its_end():
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
def test_damaged_file_is_for_pillow_to_judge(mode):
    content = encoded(NOISE)
    assert fast_jpeg.decode(content[: len(content) // 2], SIZE, mode) is None
    assert fast_jpeg.decode(b"text", SIZE, mode) is None


@given(
    rows=st.integers(1, 80),
    factor=st.sampled_from([1, 2, 4, 8]),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    restart=st.sampled_from([{}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 3}]),
    mode=st.sampled_from(["RGB", "L"]),
    progressive=st.booleans(),
)
def test_wanted_rows_are_those_of_the_whole_image(rows, factor, restart, mode, **settings):
    content = encoded(NOISE, **settings, **restart)
    whole = fast_jpeg.decode(content, SIZE, mode, factor)
    some = fast_jpeg.decode(content, SIZE, mode, factor, rows)
    assert some.shape == whole.shape == (-(-75 // factor), -(-100 // factor), whole.shape[2])
    wanted = rows // factor
    np.testing.assert_array_equal(some[:wanted], whole[:wanted])


def test_rows_below_the_wanted_ones_are_not_decoded(monkeypatch):
    calls = []
    decode = fast_jpeg.simplejpeg.decode_jpeg
    monkeypatch.setattr(
        fast_jpeg.simplejpeg,
        "decode_jpeg",
        lambda content, *x, **settings: calls.append(content) or decode(content, *x, **settings),
    )
    decode_parts(encoded(NOISE), lambda *_: [CropBox(0, 0, 40, 20)], (20, 40, 3))
    assert Image.open(io.BytesIO(calls[0])).size == (100, 24)


@pytest.mark.parametrize("settings", [{}, {"restart_marker_rows": 1}, {"progressive": True}])
def test_file_that_ends_below_the_wanted_rows_is_damaged_all_the_same(settings):
    content = encoded(NOISE, **settings)
    assert fast_jpeg.decode(content[:-200], SIZE, "RGB", rows=20) is None


@pytest.mark.parametrize("top", [0.0, 30.0, 55.0])
@pytest.mark.parametrize("shape", [(5, 5, 3), (20, 40, 1), (64, 64, 3)])
def test_part_is_that_of_the_whole_image(shape, top, monkeypatch):
    part = CropBox(3.3, top, 90.1, top + 19.7)
    content = encoded(NOISE, subsampling="4:2:0")
    found = decode_parts(content, lambda *_: [part], shape)
    monkeypatch.setattr(fast_jpeg, "rows_needed", lambda *_: 75)
    np.testing.assert_array_equal(found, decode_parts(content, lambda *_: [part], shape))


@pytest.mark.parametrize(
    ("part", "taken"),
    [
        (CropBox(0, 0, 9, 9), True),
        (CropBox(0, 0, 9, 9, "bicubic"), False),
        (CropBox(0, 0, 9, 9, "box"), False),
        (CropBox(0, 0, 9, 9, "nearest"), False),
        (CropBox(0, 0, 9, 9, brought_to=(50, 40)), False),
    ],
)
def test_only_parts_that_are_nearly_pillows_are_taken(part, taken, monkeypatch):
    assert fast_jpeg.takes(part) is taken
    calls = []
    scale = fast_jpeg.scale
    monkeypatch.setattr(fast_jpeg, "scale", lambda *x: calls.append(x) or scale(*x))
    decode_parts(encoded(NOISE), lambda *_: [part], (5, 5, 3))
    assert bool(calls) is taken


def test_one_part_that_pillow_scales_makes_all_pillows(monkeypatch):
    monkeypatch.setattr(fast_jpeg, "scale", None)
    parts = [CropBox(0, 0, 9, 9), CropBox(0, 0, 9, 9, "box")]
    found = decode_parts(encoded(NOISE), lambda *_: parts, (5, 5, 3))
    assert [part.shape for part in found] == [(5, 5, 3)] * 2


def test_turned_photographs_are_pillows(monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    monkeypatch.setattr(fast_jpeg, "scale", None)
    content = encoded(NOISE, exif=exif)
    (found,) = decode_parts(content, lambda w, h: [CropBox(0, 0, w, h)], (100, 75, 3))
    assert found.shape == (100, 75, 3)


def test_upright_photographs_of_cameras_are_fast(monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 1
    monkeypatch.setattr(decode, "_converted", None)
    part = CropBox(0, 0, 100, 75)
    assert decode_parts(encoded(NOISE, exif=exif), lambda *_: [part], (75, 100, 3))[0].any()
