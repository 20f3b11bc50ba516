"""Orientation of an image, read before its pixels are decoded."""

import io
import os
from typing import IO, Any, NamedTuple

from PIL import ExifTags, Image, ImageFile, PngImagePlugin, TiffImagePlugin

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that turns an image upright, by its EXIF orientation."""

_SIDEWAYS = (5, 6, 7, 8)
_SOURCES = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
"""Entries of Pillow's `info` that may contain an orientation."""

_PNG_HEADER = 33
"""Size in bytes of a PNG's signature and IHDR chunk."""

_NO_PIXELS = bytes(4) + b"IDAT" + bytes(4)


class Orientation(NamedTuple):
    """The orientation of an image file.

    Attributes:
      size: Width and height of the upright image.
      turn: Transposition that turns the decoded pixels upright; None for none.
    """

    size: tuple[int, int]
    turn: Image.Transpose | None


def read_orientation(image: ImageFile.ImageFile, file: IO[bytes]) -> Orientation:
    """Reads the orientation of an open image from its EXIF or XMP data, without its pixels.

    Args:
      image: Image as Pillow opens it; `info` is extended by metadata after a PNG's pixels.
      file: File of the image.
    """
    if isinstance(image, PngImagePlugin.PngImageFile):
        image.info |= _trailing_info(file)
    tag = _orientation_tag(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Pillow turns the pixels of a TIFF when it loads them, and sometimes the size earlier.
        tags = image.tag_v2
        size, turn = (tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]), None
    else:
        size, turn = image.size, _UPRIGHT.get(tag)
    return Orientation((size[1], size[0]) if tag in _SIDEWAYS else size, turn)


def _orientation_tag(image: ImageFile.ImageFile) -> int:
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    if not is_tiff and _SOURCES.isdisjoint(image.info):
        return 1
    try:
        # The PNG class would decode the pixels first, to reach the data after them.
        orientation: int = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data; the image may be undamaged
        return 1
    return orientation


def _trailing_info(file: IO[bytes]) -> dict[Any, Any]:
    """Returns the EXIF data and texts after the pixels of a PNG."""
    offset = file.tell()
    try:
        chunks = _trailing_chunks(file)
        if not chunks:
            return {}
        file.seek(0)
        header = file.read(_PNG_HEADER)
        with Image.open(io.BytesIO(header + chunks + _NO_PIXELS), formats=["PNG"]) as image:
            return {name: image.info[name] for name in _SOURCES & image.info.keys()}
    except Exception:  # damaged, as above
        return {}
    finally:
        file.seek(offset)


def _trailing_chunks(file: IO[bytes]) -> bytes:
    """Returns the chunks after a PNG's pixels that may contain an orientation."""
    found, is_trailing = [], False
    file.seek(_PNG_HEADER)
    while len(start := file.read(8)) == 8 and not start.endswith(b"IEND"):
        length, kind = int.from_bytes(start[:4]), start[4:]
        is_trailing |= kind == b"IDAT"
        if is_trailing and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            found.append(start + file.read(length + 4))
        else:
            file.seek(length + 4, os.SEEK_CUR)
    return b"".join(found)
