"""From the bytes of an image file to the pixels of a part of it."""

import io
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np
from PIL import Image, ImageFile
from PIL.AvifImagePlugin import SUPPORTED as _HAS_AVIF

from flax_vision.data import bit_depth, fast_jpeg
from flax_vision.data.crops import CropBox
from flax_vision.data.options import MAX_PIXELS
from flax_vision.data.orientation import read_orientation

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *(("AVIF",) if _HAS_AVIF else ()))
"""That are opened; of others Pillow gives some to programs outside, such as EPS to Ghostscript."""

_REDUCTIONS = (8, 4, 2)
"""Whole factors by which decoders of JPEG can leave resolution out."""


class DecodingError(ValueError):
    """An image that cannot be decoded; the message says why."""


class TooManyPixelsError(DecodingError):
    """An image of more pixels than are allowed."""


def decode_parts(
    content: bytes,
    choose: Callable[[int, int], Sequence[CropBox]],
    shape: tuple[int, ...],
    max_pixels: int = MAX_PIXELS,
) -> list[np.ndarray]:
    """Returns parts of an image, each scaled as it says, as uint8 [H, W, C].

    Images are upright by their EXIF orientation; of several in a file the first is taken. What is
    transparent lies on white; 16 bits are brought to 8. A JPEG is decoded at a half, a quarter or
    an eighth of its resolution where every part has enough pixels all the same.

    Args:
      content: Bytes of a file in one of `FORMATS`.
      choose: from the width and height of the upright image to the parts.
      shape: height, width and channels of each: 3 for red, green and blue, 1 for gray.
      max_pixels: Bound on the pixels of an image.

    Raises:
      DecodingError: It is not an image, is damaged, has too many pixels, or has numbers of an
        unknown range.
    """
    rows, columns, _ = shape
    try:
        with _opened(file := io.BytesIO(content), max_pixels) as image:
            size, turn = read_orientation(image, file)
            parts = choose(*size)
            for part in parts:
                _check_pixels(part.brought_to or (0, 0), max_pixels, "scaled it has")
            pixels = _decode(content, image, turn, parts, shape)
        scaled = [_scaled(pixels, part, size, (columns, rows)) for part in parts]
    except DecodingError:
        raise
    except Exception as error:  # Pillow raises anything for damaged files
        raise _failure(error, max_pixels) from error
    return [part.reshape(shape) for part in scaled]


def _shrink(part: CropBox, size: tuple[int, int]) -> float:
    """Returns at what share of its width and height an image may be decoded for a part of it."""
    return 1.0 if part.brought_to else min(part.width / size[0], part.height / size[1])


def _scaled(
    pixels: Image.Image | np.ndarray,
    part: CropBox,
    original: tuple[int, int],
    size: tuple[int, int],
) -> np.ndarray:
    """Returns a part of an image of an original size, decoded at a share of it."""
    if isinstance(pixels, np.ndarray):
        height, width, _ = pixels.shape
        return fast_jpeg.scale(pixels, _box(part, original, (width, height)), size)
    method = Image.Resampling[part.interpolation.upper()]
    if part.brought_to:
        pixels, original = pixels.resize(part.brought_to, method), part.brought_to
    return np.asarray(pixels.resize(size, method, _box(part, original, pixels.size)))


def _box(part: CropBox, original: tuple[int, int], size: tuple[int, int]) -> fast_jpeg.Box:
    """Returns where a part of an image lies in it, decoded to a width and height."""
    across, down = size[0] / original[0], size[1] / original[1]
    return part.left * across, part.top * down, part.right * across, part.bottom * down


def read_header(content: IO[bytes], max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Returns the width and height of the upright image, without decoding its pixels.

    Args:
      content: File of the image.
      max_pixels: Bound on the pixels of an image.

    Raises:
      DecodingError: The header shows that it cannot be decoded.
    """
    try:
        with _opened(content, max_pixels) as image:
            _check_depth(image)
            return read_orientation(image, content).size
    except DecodingError:
        raise
    except Exception as error:  # as above
        raise _failure(error, max_pixels) from error


def _opened(file: IO[bytes], max_pixels: int) -> ImageFile.ImageFile:
    """Returns an open image of a permitted size."""
    # Pillow has one bound for the whole process, which some of its decoders check again.
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    image = Image.open(file, formats=FORMATS)
    _check_pixels(image.size, max_pixels)
    return image


def _decode(
    content: bytes,
    image: ImageFile.ImageFile,
    turn: Image.Transpose | None,
    parts: Sequence[CropBox],
    shape: tuple[int, ...],
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
        if all(map(fast_jpeg.takes, parts)) and turn is None:
            needed = max(fast_jpeg.rows_needed(part, height, rows, factor) for part in parts)
            pixels = fast_jpeg.decode(content, image.size, mode, factor, needed)
            if pixels is not None:
                return pixels
        image.draft(mode, (width // factor, height // factor))
    converted = _converted(image, mode)
    return converted if turn is None else converted.transpose(turn)


def _converted(image: ImageFile.ImageFile, mode: str) -> Image.Image:
    _check_depth(image)
    bit_depth.scale_transparency(image)
    converted: Image.Image = image
    if bit_depth.has_16_bits(image):
        converted = bit_depth.to_8_bits(image)
    elif image.has_transparency_data:
        converted = image.convert("RGBA")
        white = Image.new("RGBA", converted.size, "white")
        converted = Image.alpha_composite(white, converted)
    return converted.convert(mode)


def _check_depth(image: ImageFile.ImageFile) -> None:
    if reason := bit_depth.unknown_range(image):
        raise DecodingError(reason)


def _check_pixels(size: tuple[int, int], max_pixels: int, what: str = "it has") -> None:
    # Above its bound Pillow only warns; above twice the bound it raises an error. A filter that
    # turns the warning into an error would apply to the whole process.
    if size[0] * size[1] > max_pixels:
        raise _too_many_pixels(max_pixels, what)


def _too_many_pixels(max_pixels: int, what: str = "it has") -> TooManyPixelsError:
    return TooManyPixelsError(
        f"{what} more than {max_pixels:,} pixels, as a decompression bomb would"
    )


def _failure(error: Exception, max_pixels: int) -> DecodingError:
    """Returns a clear error for an error of Pillow."""
    if isinstance(error, Image.UnidentifiedImageError):
        return DecodingError("it is no image of a known format")
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return _too_many_pixels(max_pixels)
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return DecodingError(" ".join(f"{kind}{error}".split()))
