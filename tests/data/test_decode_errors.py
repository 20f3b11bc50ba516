"""Images that cannot be decoded, and headers."""

import io
import subprocess
import sys

import numpy as np
import pytest
from encoded_images import ORIENTATION, PIXELS, all_of, decode_crop, encoded, smooth
from PIL import Image

from flax_vision.data.decode import DecodingError, TooManyPixelsError, read_header


def gray_16(values):
    return Image.fromarray(np.array(values, np.uint16))


JPEG = encoded(smooth(), "JPEG")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image of a known format"),
        (b"text", "not an image of a known format"),
        (encoded(Image.new("RGB", (9, 9)), "EPS"), "not an image of a known format"),
        (JPEG[:200], "."),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (encoded(PIXELS)[:-30], "."),
        (encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "32 bits"),
        (encoded(Image.fromarray(np.ones((2, 2), np.int32)), "TIFF"), "signed 32-bit"),
        (encoded(gray_16([[1]]), "TIFF", tiffinfo={339: 2}), "it has signed 16-bit numbers"),
        (b"Pf 1 1 -1.0\n\0\0\0\0", "32 bits"),
        (b"P5 17000 17000 255\n", "more than 268,435,456 pixels, as a decompression bomb"),
        (b"P5 27000 27000 255\n", "more than 268,435,456 pixels, as a decompression bomb"),
    ],
)
def test_undecodable_images(content, message, decoder):
    with pytest.raises(DecodingError, match=message):
        decode_crop(content, all_of, (4, 4, 3))


def read_bytes(content):
    return read_header(io.BytesIO(content))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("read", [lambda x: decode_crop(x, all_of, (4, 4, 3)), read_bytes])
def test_bombs_are_errors_under_any_warning_filter(read):
    with pytest.raises(DecodingError, match="268,435,456 pixels.*decompression bomb"):
        read(b"P5 17000 17000 255\n")


@pytest.mark.parametrize("size", [(12000, 9000), (16320, 12240)])
def test_phone_photographs_are_decoded(size):
    """They have 108 and 200 megapixels; Pillow itself refuses 179 and more."""
    assert read_bytes(b"P5 %d %d 255\n" % size) == size


def test_max_pixels_can_be_set():
    content = encoded(PIXELS)
    assert decode_crop(content, all_of, (4, 4, 3), max_pixels=48).shape == (4, 4, 3)
    with pytest.raises(TooManyPixelsError, match="more than 47 pixels"):
        decode_crop(content, all_of, (4, 4, 3), max_pixels=47)
    with pytest.raises(TooManyPixelsError, match="more than 47 pixels"):
        read_header(io.BytesIO(content), max_pixels=47)


def test_importing_leaves_the_filters_of_warnings_alone():
    program = (
        "import warnings, numpy, PIL.Image; before = list(warnings.filters)\n"
        "import flax_vision.data.decode\n"
        "assert warnings.filters == before, warnings.filters"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "content", [b"text", encoded(Image.fromarray(np.ones((2, 2), np.int32)), "TIFF")]
)
def test_header_of_an_unsupported_file(content):
    with pytest.raises(DecodingError):
        read_header(io.BytesIO(content))


@pytest.mark.parametrize(("orientation", "size"), [(1, (8, 6)), (3, (8, 6)), (6, (6, 8))])
def test_header_has_the_upright_size(orientation, size):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert read_header(io.BytesIO(encoded(PIXELS, "JPEG", exif=exif))) == size


def test_header_of_a_truncated_file_is_read():
    read_header(io.BytesIO(JPEG[: len(JPEG) // 2]))
