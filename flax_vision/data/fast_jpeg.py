"""JPEGs by the libraries of the extra `fast-jpeg`: simplejpeg decodes, and cykooz_resizer scales.

Before scaling the pixels are Pillow's, to the bit; after it some are brighter or darker by one of
the 256 levels, for each library rounds in its own way.
"""

import math

import numpy as np

from flax_vision.data.view import Part

try:
    import cykooz_resizer
    import simplejpeg
except ImportError:
    cykooz_resizer = simplejpeg = None

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in an image, in its pixels; they may lie between two."""

_BEYOND = 2
"""Pixels around a box, for each that becomes one in either direction, that may count; one does
where the filter is bilinear, and edges lie between two."""


def takes(part: Part) -> bool:
    """Returns whether the libraries are installed, and scale a part nearly as Pillow does.

    With other filters than the bilinear one they do not at every pixel, and a part of an image that
    is scaled as a whole is to have Pillow's pixels to the bit.
    """
    return simplejpeg is not None and part.interpolation == "bilinear" and not part.brought_to


def decode(content: bytes, size: tuple[int, int], mode: str) -> np.ndarray | None:
    """Returns the pixels of a JPEG, uint8 [H, W, C]; None where Pillow has to judge it.

    The library takes neither CMYK nor what is only slightly out of order.

    Args:
      content: of the file.
      size: width and height that are enough, of which the decoder may leave resolution out.
      mode: `"RGB"`, or `"L"` for grey.
    """
    width, height = size
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            content, {"RGB": "RGB", "L": "GRAY"}[mode], min_height=height, min_width=width
        )
    except ValueError:
        return None
    return pixels


def scale(pixels: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """Returns what is in a box, bilinearly scaled to a width and height, as uint8 [H, W, C].

    Where that makes it smaller, each pixel is a mean of all that become it, as with Pillow.

    Args:
      pixels: uint8 [H, W, C], of 1 or 3 channels.
      box: the part.
      size: width and height that it is brought to.
    """
    height, width, channels = pixels.shape
    first, last, left, right = _reach(box[0], box[2], width, size[0])
    top_row, bottom_row, top, bottom = _reach(box[1], box[3], height, size[1])
    cut = pixels[top_row:bottom_row, first:last]
    kind = cykooz_resizer.PixelType[{1: "U8", 3: "U8x3"}[channels]]
    source = cykooz_resizer.ImageData(cut.shape[1], cut.shape[0], kind, cut.tobytes())
    scaled = cykooz_resizer.ImageData(*size, kind)
    options = cykooz_resizer.ResizeOptions(
        cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.bilinear),
        crop_box=cykooz_resizer.CropBox(left, top, right - left, bottom - top),
    )
    cykooz_resizer.Resizer().resize(source, scaled, options)
    return np.frombuffer(scaled.get_buffer(), np.uint8).reshape(size[1], size[0], channels)


def _reach(start: float, end: float, length: int, count: int) -> tuple[int, int, float, float]:
    """Returns the pixels that count for a part of a side: the first, and the one after the last.

    With them come the ends of the part, counted from the first.

    Args:
      start: of the part.
      end: of the part.
      length: of the side.
      count: pixels that the part becomes.
    """
    beyond = math.ceil(_BEYOND * max(1.0, (end - start) / count))
    first, last = max(0, math.floor(start) - beyond), min(length, math.ceil(end) + beyond)
    return first, last, start - first, min(end, length) - first
