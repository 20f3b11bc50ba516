"""JPEG decoding by simplejpeg and scaling by cykooz_resizer, from the extra `fast-jpeg`.

Decoded pixels equal Pillow's exactly. Scaled pixels differ from Pillow's by at most one of 256
levels, because the libraries round differently.
"""

import numpy as np

from flax_vision.data.crops import CropBox, Size

try:
    import cykooz_resizer
    import simplejpeg
except ImportError:
    cykooz_resizer = simplejpeg = None

Box = tuple[float, float, float, float]
"""Left, top, right and bottom edges in pixels; they may be fractional."""


def supports(crop_box: CropBox) -> bool:
    """Returns whether the libraries are installed and scale a crop nearly as Pillow does.

    Their other filters differ from Pillow's by more than one level. A crop of a resized image must
    have Pillow's exact pixels.
    """
    is_bilinear = crop_box.interpolation == "bilinear"
    return simplejpeg is not None and is_bilinear and not crop_box.resize_to


def decode(content: bytes, size: Size, mode: str, factor: int = 1) -> np.ndarray | None:
    """Decodes a JPEG to uint8 [H, W, C]; None for CMYK and irregular files, which need Pillow.

    Args:
      content: Bytes of the file.
      size: Width and height of the file's image.
      mode: `"RGB"`, or `"L"` for gray.
      factor: Divisor of the width and height: 1, 2, 4 or 8.
    """
    width, height = (-(-side // factor) for side in size)
    colorspace = {"RGB": "RGB", "L": "GRAY"}[mode]
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            content, colorspace, min_height=height, min_width=width
        )
    except ValueError:
        return None
    return pixels


def scale(pixels: np.ndarray, box: Box, size: Size) -> np.ndarray:
    """Scales a box of an image bilinearly, with antialiasing, to uint8 [H, W, C].

    Args:
      pixels: uint8 [H, W, C], of 1 or 3 channels.
      box: Region of the image.
      size: Width and height of the result.
    """
    height, width, channels = pixels.shape
    left, top, right, bottom = box
    kind = cykooz_resizer.PixelType["U8" if channels == 1 else "U8x3"]
    source = cykooz_resizer.ImageData(width, height, kind, pixels.tobytes())
    scaled = cykooz_resizer.ImageData(*size, kind)
    # Rounding can put an edge beyond the image, which the library refuses.
    crop_box = cykooz_resizer.CropBox(
        left, top, min(right, width) - left, min(bottom, height) - top
    )
    bilinear = cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.bilinear)
    options = cykooz_resizer.ResizeOptions(bilinear, crop_box=crop_box)
    cykooz_resizer.Resizer().resize(source, scaled, options)
    return np.frombuffer(scaled.get_buffer(), np.uint8).reshape(size[1], size[0], channels)
