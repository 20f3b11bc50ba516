"""From the bytes of a file to an RGB image."""

import io
from collections.abc import Callable

import numpy as np
from PIL import ExifTags, Image, ImageOps

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")

_DEEP_MODES = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")
"""More than eight bits a channel."""


class Unreadable(Exception):  # noqa: N818 - a state of the file
    """Raised for bytes that are no image that can be used, with the reason as its text."""


def check(read: Callable[[], Image.Image]) -> None:
    """Raises Unreadable where the beginning of a file shows that it cannot be used.

    Args:
      read: opens the image without decoding it.
    """
    try:
        image = read()
    except Image.DecompressionBombError as error:
        raise Unreadable("it has more pixels than can be sensible, a decompression bomb") from error
    except Exception as error:  # Pillow raises anything
        raise Unreadable("it is not an image in JPEG, PNG or WebP, or damaged") from error
    limit = Image.MAX_IMAGE_PIXELS or np.inf
    if image.width * image.height > limit:
        raise Unreadable(f"it has {image.width}x{image.height} pixels, a decompression bomb")
    if getattr(image, "is_animated", False):
        raise Unreadable("it is animated; keep one of its frames")
    if image.mode in _DEEP_MODES:
        raise Unreadable(f"it has 16 bits or more a channel (mode {image.mode}); convert it to 8")


def decode(data: bytes) -> Image.Image:
    """Returns an image in RGB and upright, on white where it is transparent.

    Raises:
      Unreadable: it cannot be used.
    """
    check(lambda: _open(data))
    try:
        image = _open(data)
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        if simplejpeg and image.format == "JPEG" and image.mode == "RGB" and not turned:
            return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", fastdct=True))
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            canvas = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(canvas, image.convert("RGBA"))
        return image.convert("RGB")
    except Exception as error:  # both decoders raise anything for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Unreadable(f"it cannot be decoded ({reason})") from error


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=FORMATS)
