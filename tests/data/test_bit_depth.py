"""Bit depths that Pillow's mode does not show, in files built byte by byte."""

import io
import struct
import zlib

import pytest

from flax_vision.data.crops import CropBox
from flax_vision.data.decode import DecodingError, decode_crops, read_header

MIN_IS_WHITE, MIN_IS_BLACK = 0, 1


def tiff(bits, photometric, content, sample_format=1, order="<"):
    """Returns a TIFF of 2x2 gray levels, uncompressed."""
    start = 10 + 12 * 10 + 4
    tags = {256: 2, 257: 2, 258: bits, 259: 1, 262: photometric, 273: start, 277: 1, 278: 2}
    tags |= {279: len(content), 339: sample_format}
    entries = [struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items()]
    mark = {"<": b"II", ">": b"MM"}[order]
    header = mark + struct.pack(f"{order}HIH", 42, 8, len(entries))
    return header + b"".join(entries) + bytes(4) + content


def png(bits, color_type, row, transparency):
    """Returns a PNG of two equal rows of two pixels, with a transparent gray level or color."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 2, 2, bits, color_type, 0, 0, 0)
    chunks = {b"IHDR": header, b"tRNS": transparency, b"IDAT": zlib.compress(2 * (b"\0" + row))}
    body = b"".join(chunk(kind, content) for kind, content in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def decoded(content, channels=3):
    """Returns the red levels of all four pixels."""
    (crop,) = decode_crops(content, lambda *size: [CropBox(0, 0, *size)], (2, 2, channels))
    assert (crop == crop[..., :1]).all()
    return crop[..., 0].ravel().tolist()


def levels_16(*levels, order="<"):
    return struct.pack(f"{order}4H", *levels)


@pytest.mark.parametrize("channels", [1, 3])
def test_white_of_12_bits_is_white(channels):
    content = bytes.fromhex("fff000 800fff")
    assert decoded(tiff(12, MIN_IS_BLACK, content), channels) == [255, 0, 128, 255]


def test_16_bits_where_white_is_zero_are_inverted():
    content = levels_16(0, 65535, 257 * 55, 257)
    assert decoded(tiff(16, MIN_IS_WHITE, content)) == [255, 0, 200, 254]


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_where_black_is_zero_are_scaled(order):
    content = levels_16(0, 65535, 257 * 55, 257, order=order)
    assert decoded(tiff(16, MIN_IS_BLACK, content, order=order)) == [0, 255, 55, 1]


def test_8_bits_where_white_is_zero_are_inverted():
    assert decoded(tiff(8, MIN_IS_WHITE, bytes([0, 255, 55, 1]))) == [255, 0, 200, 254]


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("read", [decoded, lambda x: read_header(io.BytesIO(x))])
def test_signed_numbers_are_refused(bits, read):
    content = tiff(bits, MIN_IS_BLACK, b"\xff" * (bits // 2), sample_format=2)
    with pytest.raises(DecodingError, match=f"^it has signed {bits}-bit numbers, whose range"):
        read(content)


@pytest.mark.parametrize(
    ("bits", "row", "level"),
    [(1, "80", 1), (2, "40", 1), (4, "50", 5), (8, "0500", 5), (16, "01f40000", 500)],
)
def test_transparent_gray_level_lies_on_white(bits, row, level):
    content = png(bits, 0, bytes.fromhex(row), struct.pack(">H", level))
    assert decoded(content) == decoded(content, 1) == [255, 0, 255, 0]


def test_transparent_color():
    assert decoded(png(8, 2, b"\5\5\5\0\0\0", struct.pack(">3H", 5, 5, 5))) == [255, 0, 255, 0]


@pytest.mark.parametrize("read", [decoded, lambda x: read_header(io.BytesIO(x))])
def test_transparent_color_of_16_bits_is_refused(read):
    content = png(16, 2, bytes(12), struct.pack(">3H", 5, 5, 5))
    with pytest.raises(DecodingError, match=r"^it has 16 bits a color and a transparent color; sa"):
        read(content)
