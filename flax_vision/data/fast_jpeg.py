"""JPEGs by the libraries of the extra `fast-jpeg`: simplejpeg decodes, and cykooz_resizer scales.

Before scaling the pixels are Pillow's, to the bit; after it some are brighter or darker by one of
the 256 levels, for each library rounds in its own way.
"""

import math

import numpy as np

from flax_vision.data.crops import CropBox

try:
    import cykooz_resizer
    import simplejpeg
except ImportError:
    cykooz_resizer = simplejpeg = None

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in an image, in its pixels; they may lie between two."""

_BELOW = 2
"""Rows of a file below others that these are made of, where colors have half of the rows."""

_MORE_FOLLOWS = "extraneous bytes before marker 0xd9"
"""What libjpeg complains of first where the rows end before the data, which are in order: the
marker is that of their end."""

_MARKER = b"\xff"
_FRAME = (0xC0, 0xC1)
"""SOF0 and SOF1: the segment with the height, of an image that is not progressive."""

_SCAN = 0xDA
_OTHERS = (0xC4, 0xDB, 0xFE, *range(0xE0, 0xF0))
"""DHT, DQT, COM and APPn. With a DRI the data are in parts, and libjpeg would not say whether the
last ones are there."""

_BEYOND = 2
"""Pixels around a box, for each that becomes one in either direction, that may count; one does
where the filter is bilinear, and edges lie between two."""


def takes(part: CropBox) -> bool:
    """Returns whether the libraries are installed, and scale a part nearly as Pillow does.

    With other filters than the bilinear one they do not at every pixel, and a part of an image that
    is scaled as a whole is to have Pillow's pixels to the bit.
    """
    return simplejpeg is not None and part.interpolation == "bilinear" and not part.brought_to


def decode(
    content: bytes, size: tuple[int, int], mode: str, factor: int = 1, rows: int | None = None
) -> np.ndarray | None:
    """Returns the pixels of a JPEG, uint8 [H, W, C]; None where Pillow has to judge it.

    The library takes neither CMYK nor what is only slightly out of order.

    Args:
      content: of the file.
      size: width and height of the file's image.
      mode: `"RGB"`, or `"L"` for gray.
      factor: by which width and height become smaller: 1, 2, 4 or 8.
      rows: of the file that are wanted; those below may be anything. All if None.
    """
    width, height = (-(-side // factor) for side in size)
    pixels = np.empty((height, width, {"RGB": 3, "L": 1}[mode]), np.uint8)
    rows = size[1] if rows is None else min(size[1], rows + _BELOW)
    content, cut = _ending_at(rows, content) if rows < size[1] else (content, False)
    try:
        simplejpeg.decode_jpeg(
            content,
            {"RGB": "RGB", "L": "GRAY"}[mode],
            min_height=-(-rows // factor) if cut else height,
            min_width=width,
            buffer=pixels,
        )
    except ValueError as error:
        if not (cut and _MORE_FOLLOWS in str(error)):
            return None
    return pixels


def _ending_at(rows: int, content: bytes) -> tuple[bytes, bool]:
    """Returns a JPEG of the first rows, and True; where that is not so easy the same, and False.

    What follows them stays in the file, and is passed over by decoders in no time: nearly all that
    decoding takes is for the entropy coding.
    """
    place, frame = 2, 0
    while content[place : place + 1] == _MARKER:
        kind, first = content[place + 1], place + 4
        if kind in _FRAME:
            frame = first
        elif kind == _SCAN and frame and content[first] == content[frame + 5]:  # all components
            height = slice(frame + 1, frame + 3)
            return content[: height.start] + rows.to_bytes(2) + content[height.stop :], True
        elif kind not in _OTHERS:
            break
        place += 2 + int.from_bytes(content[place + 2 : first])
    return content, False


def rows_needed(part: CropBox, height: int, rows: int, factor: int) -> int:
    """Returns how many of the rows of a file count for a part of it.

    Args:
      part: of the file's image.
      height: of the file's image.
      rows: that the part is brought to.
      factor: by which the decoder makes the image smaller.
    """
    decoded = -(-height // factor)
    down = decoded / height
    return _reach(part.top * down, part.bottom * down, decoded, rows)[1] * factor


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
