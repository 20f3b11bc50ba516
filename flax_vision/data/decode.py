"""Decoding of image files into crops."""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import numpy as np
from PIL import Image, ImageFile
from PIL.AvifImagePlugin import SUPPORTED as _HAS_AVIF

from flax_vision.data import bit_depth, fast_jpeg
from flax_vision.data.crops import CropBox, Size
from flax_vision.data.flags import MAX_PIXELS
from flax_vision.data.orientation import read_orientation

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *(("AVIF",) if _HAS_AVIF else ()))
"""Supported formats. Pillow passes some others to external programs, such as EPS to Ghostscript."""

_GRAY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
"""Pillow's modes without colors."""

_REDUCTIONS = (8, 4, 2)
"""Factors of reduced resolution at which JPEG decoders are faster."""


class DecodingError(ValueError):
    """An image that cannot be decoded; the message says why."""


class TooManyPixelsError(DecodingError):
    """An image with more pixels than permitted."""


def decode_crops(
    content: bytes,
    choose: Callable[[int, int], Sequence[CropBox]],
    shape: tuple[int, ...],
    max_pixels: int = MAX_PIXELS,
) -> list[np.ndarray]:
    """Decodes crops of an image, each scaled to `shape`, as uint8 [H, W, C].

    Images are turned upright by their EXIF orientation. The first of several images in a file is
    decoded. Transparent pixels lie on white, and 16 bits are scaled to 8. A JPEG is decoded at a
    half, a quarter or an eighth of its resolution if every crop keeps enough pixels.

    Args:
      content: Bytes of a file in one of `FORMATS`.
      choose: Function from the width and height of the upright image to the crops.
      shape: Height, width and channels of each crop: 3 channels for color, 1 for gray.
      max_pixels: Bound on the pixels of an image.

    Raises:
      DecodingError: It is not an image, is damaged, has too many pixels, or has numbers of an
        unknown range.
    """
    rows, columns, channels = shape
    size, mode = (columns, rows), "RGB" if channels == 3 else "L"
    with _open(file := io.BytesIO(content), max_pixels) as image:
        original, turn = read_orientation(image, file)
        crop_boxes = choose(*original)
        for box in crop_boxes:
            _check_pixels(box.resize_to or (0, 0), max_pixels, "scaled it has")
        pixels = _decode(content, image, turn, crop_boxes, size, mode)
        return [_scale(pixels, box, original, size).reshape(shape) for box in crop_boxes]


def read_header(content: IO[bytes], max_pixels: int = MAX_PIXELS) -> Size:
    """Reads the width and height of the upright image without decoding its pixels.

    Args:
      content: File of the image.
      max_pixels: Bound on the pixels of an image.

    Raises:
      DecodingError: The header shows that it cannot be decoded.
    """
    with _open(content, max_pixels) as image:
        _check_range(image)
        return read_orientation(image, content).size


def is_gray(content: IO[bytes], max_pixels: int = MAX_PIXELS) -> bool:
    """Returns whether the header of an image shows one channel without a palette.

    Args:
      content: File of the image.
      max_pixels: Bound on the pixels of an image.

    Raises:
      DecodingError: The header shows that it cannot be decoded.
    """
    with _open(content, max_pixels) as image:
        return image.mode in _GRAY_MODES


@contextlib.contextmanager
def _open(file: IO[bytes], max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Opens an image of a permitted size, and raises all errors as `DecodingError`."""
    # Pillow has one bound for the whole process, which some of its decoders check again.
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    try:
        with Image.open(file, formats=FORMATS) as image:
            _check_pixels(image.size, max_pixels)
            yield image
    except DecodingError:
        raise
    except Exception as error:  # Pillow raises errors of any type for damaged files
        raise _decoding_error(error, max_pixels) from error


def _decode(
    content: bytes,
    image: ImageFile.ImageFile,
    turn: Image.Transpose | None,
    crop_boxes: Sequence[CropBox],
    size: Size,
    mode: str,
) -> Image.Image | np.ndarray:
    """Decodes the upright image at the least sufficient resolution; an array by `fast_jpeg`."""
    if image.format in ("JPEG", "MPO"):
        reduction = min(_max_reduction(box, size) for box in crop_boxes)
        factor = next((factor for factor in _REDUCTIONS if factor <= reduction), 1)
        if turn is None and all(map(fast_jpeg.supports, crop_boxes)):
            pixels = fast_jpeg.decode(content, image.size, mode, factor)
            if pixels is not None:
                return pixels
        image.draft(mode, (image.width // factor, image.height // factor))
    converted = _convert(image, mode)
    return converted if turn is None else converted.transpose(turn)


def _max_reduction(box: CropBox, size: Size) -> float:
    """Returns the greatest divisor of the resolution that leaves enough pixels for a crop."""
    return 1.0 if box.resize_to else min(box.width / size[0], box.height / size[1])


def _scale(
    pixels: Image.Image | np.ndarray, crop_box: CropBox, original: Size, size: Size
) -> np.ndarray:
    """Scales a crop of an image that was decoded at a reduced resolution."""
    method = Image.Resampling[crop_box.interpolation.upper()]
    if crop_box.resize_to and isinstance(pixels, Image.Image):
        pixels, original = pixels.resize(crop_box.resize_to, method), crop_box.resize_to
    decoded = pixels.shape[1::-1] if isinstance(pixels, np.ndarray) else pixels.size
    across, down = decoded[0] / original[0], decoded[1] / original[1]
    left, top, right, bottom = crop_box[:4]
    edges = left * across, top * down, right * across, bottom * down
    if isinstance(pixels, np.ndarray):
        return fast_jpeg.scale(pixels, edges, size)
    return np.asarray(pixels.resize(size, method, edges))


def _convert(image: ImageFile.ImageFile, mode: str) -> Image.Image:
    _check_range(image)
    bit_depth.scale_transparency(image)
    if bit_depth.has_16_bits(image):
        return bit_depth.to_8_bits(image).convert(mode)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert(mode)
    return image.convert(mode)


def _check_range(image: ImageFile.ImageFile) -> None:
    if reason := bit_depth.unknown_range(image):
        raise DecodingError(reason)


def _check_pixels(size: Size, max_pixels: int, prefix: str = "it has") -> None:
    # Above its bound Pillow only warns; above twice the bound it raises an error. A filter that
    # turns the warning into an error would apply to the whole process.
    if size[0] * size[1] > max_pixels:
        raise TooManyPixelsError(_too_many(max_pixels, prefix))


def _too_many(max_pixels: int, prefix: str = "it has") -> str:
    return f"{prefix} more than {max_pixels:,} pixels, as a decompression bomb would"


def _decoding_error(error: Exception, max_pixels: int) -> DecodingError:
    """Returns a clear error for an error of Pillow."""
    if isinstance(error, Image.UnidentifiedImageError):
        return DecodingError("it is not an image of a known format")
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return TooManyPixelsError(_too_many(max_pixels))
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return DecodingError(" ".join(f"{kind}{error}".split()))
