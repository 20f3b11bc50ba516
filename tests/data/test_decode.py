"""Files of every format; lossless ones to the pixel."""

import io

import numpy as np
import pytest
from encoded_images import (
    ORIENTATION,
    PIXELS,
    RANDOM,
    all_of,
    decode_crop,
    decoded,
    encoded,
    smooth,
)
from PIL import Image

from flax_vision.data import decode, fast_jpeg
from flax_vision.data.crops import CropBox, CropPolicy
from flax_vision.data.decode import DecodingError, decode_crops


@pytest.mark.parametrize(("left", "top"), [(0, 0), (3, 1), (4, 2)])
def test_crop_to_the_pixel(left, top):
    box = CropBox(left, top, left + 4, top + 4)
    crop = decode_crop(encoded(PIXELS), lambda *_: box, (4, 4, 3))
    np.testing.assert_array_equal(crop, PIXELS[top : top + 4, left : left + 4])
    assert crop.dtype == np.uint8


def test_scaled_crop_equals_the_crop_of_the_scaled_image():
    pixels = RANDOM.integers(0, 256, (60, 90, 3), np.uint8)
    scaled = Image.fromarray(pixels).resize((45, 30), Image.Resampling.BILINEAR)
    crop = decode_crop(encoded(pixels), lambda *_: CropBox(10, 6, 50, 46), (20, 20, 3))
    np.testing.assert_allclose(crop, np.asarray(scaled)[3:23, 5:25], atol=1)


def test_whole_image_can_be_scaled_first(decoder):
    """All pixels count at full resolution, also those outside the crop."""
    content = encoded(smooth(200, 260), "JPEG")
    scaled = Image.open(io.BytesIO(content)).resize((26, 20), Image.Resampling.BILINEAR)
    box = CropBox(3, 2, 11, 10, resize_to=(26, 20))
    crop = decode_crop(content, lambda *_: box, (8, 8, 3))
    np.testing.assert_array_equal(crop, np.asarray(scaled)[2:10, 3:11])


def test_resized_image_has_a_bound():
    box = CropBox(0, 0, 8, 8, resize_to=(8, 10**8))
    with pytest.raises(DecodingError, match="^scaled it has more than 268,435,456 pixels"):
        decode_crop(encoded(PIXELS), lambda *_: box, (8, 8, 3))


def test_size_is_of_the_upright_image():
    sizes = []
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = encoded(PIXELS, "JPEG", exif=exif)
    decode_crop(content, lambda *size: sizes.append(size) or all_of(*size), (4, 4, 3))
    assert sizes == [(6, 8)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation(orientation, format, decoder):
    """Eight files of one scene, each turned so that its tag brings it upright again."""
    upright = Image.fromarray(smooth(64, 64))
    turn = {
        1: lambda x: x,
        2: lambda x: x.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda x: x.rotate(180),
        4: lambda x: x.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda x: x.transpose(Image.Transpose.TRANSPOSE),
        6: lambda x: x.rotate(90),
        7: lambda x: x.transpose(Image.Transpose.TRANSVERSE),
        8: lambda x: x.rotate(-90),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    settings = {"lossless": True} if format == "WEBP" else {}
    content = encoded(turn(upright), format, exif=exif, **settings)
    np.testing.assert_allclose(decoded(content), np.asarray(upright), atol=12)


def test_damaged_exif_data_leave_an_image_as_it_is():
    content = encoded(smooth(), "JPEG", exif=b"Exif\0\0nothing of the kind")
    np.testing.assert_allclose(decoded(content), smooth()[:, :96], atol=6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shrink", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_both_decoders_give_the_same_pixels(mode, shrink, channels, monkeypatch):
    """To one level, by which they round differently where they scale."""
    if fast_jpeg.simplejpeg is None:
        pytest.skip("its libraries are in the extra `fast-jpeg`")
    pixels = Image.fromarray(RANDOM.integers(0, 256, (95, 127, 3), np.uint8)).convert(mode)
    content = encoded(pixels, "JPEG", quality=90)

    def crop():
        box = CropBox(3, 1, 3 + 11 * shrink, 1 + 11 * shrink)
        return decode_crop(content, lambda *_: box, (11, 11, channels)).astype(int)

    fast = crop()
    monkeypatch.setattr(fast_jpeg, "simplejpeg", None)
    np.testing.assert_allclose(fast, crop(), rtol=0, atol=1 if shrink != 1 else 0)
    assert fast.shape == (11, 11, channels)


@pytest.mark.parametrize(("shrink", "size"), [(1, 128), (1.9, 128), (2, 64), (5, 32), (9, 16)])
def test_jpeg_is_decoded_at_the_least_sufficient_resolution(shrink, size, decoder, monkeypatch):
    widths = []
    original = decode._decode

    def spy(*arguments):
        pixels = original(*arguments)
        widths.append(np.asarray(pixels).shape[1])
        return pixels

    monkeypatch.setattr(decode, "_decode", spy)
    content = encoded(smooth(), "JPEG")
    crop = decode_crop(content, lambda *_: CropBox(0, 0, 8 * shrink, 8 * shrink), (8, 8, 3))
    assert widths == [size]
    ends = round(8 * shrink)
    plain = Image.fromarray(smooth()).resize((8, 8), Image.Resampling.BILINEAR, (0, 0, ends, ends))
    np.testing.assert_allclose(crop, np.asarray(plain), atol=8)


def gray_16(values):
    return Image.fromarray(np.array(values, np.uint16))


RGBA = Image.new("RGBA", (2, 2), (200, 0, 0, 0))
PALETTE = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "L").convert("P")


def transparent_palette():
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return encoded(image, transparency=1)


@pytest.mark.parametrize(
    ("content", "color"),
    [
        (encoded(Image.new("1", (2, 2), 1)), (255, 255, 255)),
        (encoded(Image.new("L", (2, 2), 7)), (7, 7, 7)),
        (encoded(Image.new("LA", (2, 2), (100, 255))), (100, 100, 100)),
        (encoded(Image.new("LA", (2, 2), (100, 0))), (255, 255, 255)),
        (encoded(RGBA), (255, 255, 255)),
        (encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 51))), (204, 204, 204)),
        (encoded(Image.new("RGBA", (2, 2), (1, 2, 3, 255)), "WEBP", lossless=True), (1, 2, 3)),
        (transparent_palette(), (255, 255, 255)),
        (encoded(Image.new("RGB", (2, 2), (1, 2, 3)), "GIF"), (1, 2, 3)),
        (encoded(Image.new("RGB", (2, 2), (1, 2, 3)), "BMP"), (1, 2, 3)),
        (encoded(Image.new("CMYK", (2, 2), (255, 0, 0, 0)), "TIFF"), (0, 255, 255)),
        (encoded(gray_16([[257 * 200] * 2] * 2)), (200, 200, 200)),
        (encoded(gray_16([[65535] * 2] * 2), "TIFF"), (255, 255, 255)),
        (encoded(gray_16([[129] * 2] * 2)), (1, 1, 1)),  # rounded
        (b"P5 2 2 65535\n" + 4 * (257 * 200).to_bytes(2), (200, 200, 200)),
        (b"P5 2 2 1000\n" + 4 * (500).to_bytes(2), (128, 128, 128)),
        (b"P2 2 2 1000\n1000 1000 1000 1000", (255, 255, 255)),
    ],
)
def test_modes(content, color):
    np.testing.assert_array_equal(decoded(content), np.full((2, 2, 3), color))


def test_cmyk_jpeg(decoder):
    content = encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95)
    np.testing.assert_allclose(decoded(content), np.full((16, 16, 3), (0, 255, 255)), atol=3)


def test_gray_view_of_colors():
    content = encoded(Image.new("RGB", (2, 2), (255, 0, 0)))
    np.testing.assert_array_equal(decoded(content, channels=1), np.full((2, 2, 1), 76))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_first_of_several_images(format):
    first, second = (Image.new("RGB", (2, 2), color) for color in ("black", "white"))
    settings = {"lossless": True} if format == "WEBP" else {}
    content = encoded(first, format, save_all=True, append_images=[second], **settings)
    assert Image.open(io.BytesIO(content)).n_frames == 2
    assert decoded(content).max() == 0


def test_photograph_of_a_camera_with_a_second_image_in_the_file(decoder):
    images = [Image.fromarray(smooth()), Image.new("RGB", (128, 96))]
    content = encoded(images[0], "MPO", save_all=True, append_images=images[1:])
    assert Image.open(io.BytesIO(content)).format == "MPO"
    np.testing.assert_allclose(decoded(content), smooth()[:, :96], atol=12)


@pytest.mark.parametrize("format", ["PPM", "JPEG"])
def test_crops_of_every_size_lie_inside(format):
    """Pillow takes edges in single precision, which undoes what rounding put beyond the image."""
    crop = CropPolicy(size=7, eval_resize=7, resize_range=(7, 31))
    random = np.random.default_rng(0)
    for _ in range(300):
        width, height = random.integers(1, 60, 2)
        content = encoded(Image.new("L", (width, height)), format)
        for box in (
            *crop.center_crop.crop_boxes(width, height),
            crop.random_crop(width, height, random),
        ):
            assert decode_crop(content, lambda *_, box=box: box, (7, 7, 1)).shape == (7, 7, 1)


JPEG = encoded(smooth(), "JPEG")


def test_several_crops_equal_single_crops():
    content = encoded(smooth(), "JPEG", quality=95)
    boxes = [CropBox(0, 0, 128, 96), CropBox(10, 20, 18, 26), CropBox(0, 40, 64, 88, "nearest")]
    found = decode_crops(content, lambda width, height: boxes, (6, 8, 3))
    assert [crop.shape for crop in found] == [(6, 8, 3)] * 3
    for crop, box in zip(found, boxes, strict=True):
        alone = decode_crop(content, lambda width, height, box=box: box, (6, 8, 3))
        np.testing.assert_allclose(crop.astype(int), alone.astype(int), atol=4)


def test_extra_bytes_are_ignored(decoder):
    """simplejpeg refuses what libjpeg warns of; Pillow, like every viewer, does not."""
    marker = JPEG.index(b"\xff\xdb")
    content = JPEG[:marker] + b"\0\0\0" + JPEG[marker:]
    np.testing.assert_allclose(decoded(content), smooth()[:, :96], atol=6)


@pytest.mark.parametrize(
    ("interpolation", "value"), [("nearest", 40), ("box", 25), ("bilinear", 25), ("bicubic", 25)]
)
def test_interpolation_of_the_crop_box(interpolation, value):
    pixels = np.array([[10, 20], [30, 40]], np.uint8)
    box = CropBox(0, 0, 2, 2, interpolation)
    assert decode_crop(encoded(pixels), lambda *_: box, (1, 1, 1)).item() == value


def test_enlarged_to_the_nearest_pixel():
    pixels = np.array([[10, 20]], np.uint8)
    box = CropBox(0, 0, 2, 1, "nearest")
    enlarged = decode_crop(encoded(pixels), lambda *_: box, (1, 4, 1))
    assert enlarged.ravel().tolist() == [10, 10, 20, 20]
