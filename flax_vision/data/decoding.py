"""From the bytes of an image file to the pixels of a part of it."""

import io
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np
from PIL import ExifTags, Image

from flax_vision.data import fast_jpeg
from flax_vision.data.view import Part

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""That are opened; of others Pillow gives some to programs outside, such as EPS to Ghostscript."""

_REDUCTIONS = (8, 4, 2)
"""Whole factors by which decoders of JPEG can leave resolution out."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image upright, by the orientation that its EXIF data state."""


class DecodingError(ValueError):
    """An image that cannot be decoded; the message says why."""


def decode_parts(
    content: bytes,
    choose: Callable[[int, int], Sequence[Part]],
    shape: tuple[int, ...],
) -> list[np.ndarray]:
    """Returns parts of an image, each scaled as it says, as uint8 [H, W, C].

    Images are upright by their EXIF orientation; of several in a file the first is taken. What is
    transparent lies on white; 16 bits are brought to 8. A JPEG is decoded at a half, a quarter or
    an eighth of its resolution where every part has enough pixels all the same.

    Args:
      content: of a JPEG, PNG, WebP, BMP, GIF, TIFF or PPM file.
      choose: from the width and height of the upright image to the parts.
      shape: height, width and channels of each: 3 for red, green and blue, 1 for grey.

    Raises:
      DecodingError: it is no image, damaged, of too many pixels or of 32 bits a channel.
    """
    rows, columns, _ = shape
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            _check_pixels(image.size)
            width, height = upright_size(image)
            parts = choose(width, height)
            pixels = _decode(content, image, parts, shape)
        scaled = [_scaled(pixels, part, (width, height), (columns, rows)) for part in parts]
    except DecodingError:
        raise
    except Exception as error:  # Pillow raises anything for damaged files
        raise DecodingError(_reason(error)) from error
    return [part.reshape(shape) for part in scaled]


def _shrink(part: Part, size: tuple[int, int]) -> float:
    """Returns at what share of its width and height an image may be decoded for a part of it."""
    return 1.0 if part.brought_to else min(part.width / size[0], part.height / size[1])


def _scaled(
    pixels: Image.Image | np.ndarray,
    part: Part,
    original: tuple[int, int],
    size: tuple[int, int],
) -> np.ndarray:
    """Returns a part of an image of an original size, decoded at a share of it."""
    if isinstance(pixels, np.ndarray):
        height, width, _ = pixels.shape
        return fast_jpeg.scale(pixels, _box(part, original, (width, height)), size)
    method = Image.Resampling[part.interpolation.upper()]
    if part.brought_to:
        _check_pixels(part.brought_to, "scaled it has")
        pixels, original = pixels.resize(part.brought_to, method), part.brought_to
    return np.asarray(pixels.resize(size, method, _box(part, original, pixels.size)))


def _box(part: Part, original: tuple[int, int], size: tuple[int, int]) -> fast_jpeg.Box:
    """Returns where a part of an image lies in it, decoded to a width and height."""
    across, down = size[0] / original[0], size[1] / original[1]
    return part.left * across, part.top * down, part.right * across, part.bottom * down


def read_header(content: IO[bytes]) -> tuple[int, int]:
    """Returns the width and height of the upright image, from the first bytes of a file.

    Raises:
      DecodingError: they tell that it cannot be decoded.
    """
    try:
        with Image.open(content, formats=_FORMATS) as image:
            _check_pixels(image.size)
            _check_depth(image)
            return upright_size(image)
    except DecodingError:
        raise
    except Exception as error:  # as above
        raise DecodingError(_reason(error)) from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Returns the width and height of an image as it is looked at."""
    width, height = image.size
    return (height, width) if _orientation(image) in (5, 6, 7, 8) else (width, height)


def _decode(
    content: bytes, image: Image.Image, parts: Sequence[Part], shape: tuple[int, ...]
) -> Image.Image | np.ndarray:
    """Returns the upright pixels, no more of them than parts of that shape need.

    They are an array if `fast_jpeg` decoded them, whose rows below the parts may be anything.
    """
    rows, columns, channels = shape
    mode = "RGB" if channels == 3 else "L"
    if image.format in ("JPEG", "MPO"):
        width, height = image.size
        shrink = min(_shrink(part, (columns, rows)) for part in parts)
        factor = next((factor for factor in _REDUCTIONS if factor <= shrink), 1)
        if all(map(fast_jpeg.takes, parts)) and _orientation(image) not in _UPRIGHT:
            needed = max(fast_jpeg.rows_needed(part, height, rows, factor) for part in parts)
            pixels = fast_jpeg.decode(content, image.size, mode, factor, needed)
            if pixels is not None:
                return pixels
        image.draft(mode, (width // factor, height // factor))
    return _upright(_converted(image, mode), image)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    _check_depth(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257.0).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _check_pixels(size: tuple[int, int], what: str = "it has") -> None:
    # Pillow only warns of images between one and two times the pixels at which it takes them for a
    # decompression bomb. A filter that makes an error of that would be the whole process's.
    width, height = size
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise DecodingError(_too_many_pixels(what))


def _too_many_pixels(what: str = "it has") -> str:
    return f"{what} more than {Image.MAX_IMAGE_PIXELS:,} pixels, as a decompression bomb would"


def _check_depth(image: Image.Image) -> None:
    if image.mode in ("I", "F"):
        raise DecodingError(
            "it has 32 bits a pixel, whose range is not known; save it with 8 or 16"
        )


def _upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    orientation = _orientation(image)
    return pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels


def _orientation(image: Image.Image) -> int:
    # Without this, Pillow would decode a PNG to look for EXIF data after its pixels.
    if "exif" not in image.info:
        return 1
    try:
        orientation: int = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data, of an image that need not be
        return 1
    return orientation


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no image of a known format"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return _too_many_pixels()
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())
