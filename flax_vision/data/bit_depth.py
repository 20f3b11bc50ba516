"""Conversion of image files with other than 8 bits per number."""

import numpy as np
from PIL import ExifTags, Image, ImageFile, PngImagePlugin, TiffImagePlugin

_SIGNED = 2
"""Sample format of signed numbers in a TIFF."""

_WHITE_IS_ZERO = 0
"""Photometric interpretation of a TIFF in which larger numbers are darker."""

_GRAY_STEPS = {"L;2": 85, "L;4": 17}
"""Factor by which Pillow scales the gray levels of a PNG with fewer than 8 bits."""


def unknown_range(image: ImageFile.ImageFile) -> str:
    """Returns the reason that an open image cannot be scaled to 8 bits; empty if it can."""
    advice = "whose range is not known; save it with 8 bits, or 16 without a sign"
    if _SIGNED in _tag(image, ExifTags.Base.SampleFormat):
        bits = max(_tag(image, ExifTags.Base.BitsPerSample))
        return f"it has signed {bits}-bit numbers, {advice}"
    if image.mode in ("I", "F") and not has_16_bits(image):
        return f"it has 32 bits a pixel, {advice}"
    if _png_mode(image) == "RGB;16B" and "transparency" in image.info:
        # Pillow reads the upper 8 bits alone, so other colors would become transparent too.
        return "it has 16 bits a color and a transparent color; save it with an alpha channel"
    return ""


def has_16_bits(image: ImageFile.ImageFile) -> bool:
    """Returns whether Pillow reads gray levels of more than 8 bits; it reads a PGM into 32."""
    return image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM")


def to_8_bits(image: ImageFile.ImageFile) -> Image.Image:
    """Scales gray levels of 12 or 16 bits to 8, with white where a PNG is transparent."""
    white = 4095 if 12 in _tag(image, ExifTags.Base.BitsPerSample) else 65535
    levels = np.asarray(image)
    if _WHITE_IS_ZERO in _tag(image, ExifTags.Base.PhotometricInterpretation):
        levels = white - levels
    if "transparency" in image.info:
        levels = np.where(levels == image.info["transparency"], white, levels)
    return Image.fromarray(np.rint(levels / (white / 255)).astype(np.uint8))


def scale_transparency(image: ImageFile.ImageFile) -> None:
    """Scales the transparent gray level of a PNG as Pillow scales its pixels."""
    if (step := _GRAY_STEPS.get(_png_mode(image))) and "transparency" in image.info:
        image.info["transparency"] *= step


def _tag(image: ImageFile.ImageFile, tag: ExifTags.Base) -> tuple[int, ...]:
    """Returns the values of a tag of a TIFF; nothing for other formats."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return ()
    found = image.tag_v2.get(tag, ())
    return found if isinstance(found, tuple) else (found,)


def _png_mode(image: ImageFile.ImageFile) -> str:
    """Returns Pillow's name for the layout of a PNG's pixels before they are decoded."""
    if not isinstance(image, PngImagePlugin.PngImageFile) or not image.tile:
        return ""
    return str(image.tile[0].args)
