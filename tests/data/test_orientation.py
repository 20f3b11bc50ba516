"""The header, the crop and the pixels of an image have the same orientation."""

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from flax_vision.data.crops import CropBox
from flax_vision.data.decode import FORMATS, decode_crops, read_header

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))
EXIF = Image.Exif()
EXIF[0x0112] = 6
XMP = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'


def encoded(format, **settings):
    file = io.BytesIO()
    IMAGE.save(file, format, **settings)
    return file.getvalue()


def texts(add, name, text):
    info = PngImagePlugin.PngInfo()
    getattr(info, add)(name, text)
    return info


def chunks(png):
    """Yields the chunks of a PNG after its signature."""
    start = 8
    while start < len(png):
        end = start + int.from_bytes(png[start : start + 4]) + 12
        yield png[start:end]
        start = end


def behind_the_pixels(png):
    """Returns the same PNG with its metadata after the pixels."""
    found = list(chunks(png))
    stated = [chunk for chunk in found if chunk[4:8] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt")]
    others = [chunk for chunk in found if chunk not in stated]
    return b"".join([png[:8], *others[:-1], *stated, others[-1]])


DATA = EXIF.tobytes()
PROFILE = f"\nexif\n{len(DATA):8}\n{DATA.hex()}\n"
PNG = {
    "exif": encoded("PNG", exif=EXIF),
    "profile": encoded("PNG", pnginfo=texts("add_text", "Raw profile type exif", PROFILE)),
    "xmp": encoded("PNG", pnginfo=texts("add_itxt", "XML:com.adobe.xmp", XMP.decode())),
}
TAGS = {"tiffinfo": {700: XMP}}
FILES = {
    **{f"PNG {name}": content for name, content in PNG.items()},
    **{f"PNG late {name}": behind_the_pixels(content) for name, content in PNG.items()},
    "JPEG exif": encoded("JPEG", exif=EXIF),
    "JPEG xmp": encoded("JPEG", xmp=XMP),
    "WebP exif": encoded("WEBP", exif=EXIF, lossless=True),
    "WebP xmp": encoded("WEBP", xmp=XMP, lossless=True),
    "MPO exif": encoded("MPO", exif=EXIF, save_all=True, append_images=[IMAGE]),
    "TIFF exif": encoded("TIFF", exif=EXIF),
    "TIFF xmp": encoded("TIFF", **TAGS),
    "TIFF LZW exif": encoded("TIFF", exif=EXIF, compression="tiff_lzw"),
    "TIFF LZW xmp": encoded("TIFF", **TAGS, compression="tiff_lzw"),
}
if "AVIF" in FORMATS:
    FILES["AVIF exif"] = encoded("AVIF", exif=EXIF)


@pytest.mark.parametrize("name", FILES)
def test_header_crop_and_pixels_agree(name):
    """All equal Pillow's result for the whole image."""
    content, sizes = FILES[name], []

    def choose(width, height):
        sizes.append((width, height))
        return [CropBox(0, 0, width, height)]

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert upright.size == (6, 8)
    assert read_header(io.BytesIO(content)) == upright.size
    (pixels,) = decode_crops(content, choose, (8, 6, 3))
    assert sizes == [upright.size]
    np.testing.assert_array_equal(pixels, np.asarray(upright))


class CountedFile(io.BytesIO):
    """A file that counts the bytes read from it."""

    count = 0

    def read(self, *arguments):
        data = super().read(*arguments)
        self.count += len(data)
        return data


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_header_is_read_without_the_pixels(format):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8))
    file = CountedFile()
    noise.save(file, format)
    assert read_header(file) == (400, 400)
    assert file.count < file.seek(0, os.SEEK_END) / 2


@pytest.mark.parametrize(
    "content",
    [
        behind_the_pixels(encoded("PNG", exif=b"nothing of the kind")),
        behind_the_pixels(PNG["exif"])[:-30],
    ],
)
def test_png_with_damaged_exif_data_is_not_turned(content):
    assert read_header(io.BytesIO(content)) == (8, 6)
