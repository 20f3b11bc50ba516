"""Encoded images in memory, and their decoding, for tests."""

import io

import numpy as np
from PIL import Image

from flax_vision.data.crops import CropBox
from flax_vision.data.decode import decode_crops

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (6, 8, 3), np.uint8)
ORIENTATION = 0x0112


def smooth(height=96, width=128):
    """Pixels that JPEG hardly changes."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 128 + 0 * x], -1).astype(np.uint8)


def encoded(image, format="PNG", **settings):
    file = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(file, format, **settings)
    return file.getvalue()


def all_of(width, height):
    return CropBox(0, 0, width, height)


def decode_crop(content, choose, shape, **settings):
    """Returns the only crop."""
    (crop,) = decode_crops(content, lambda *size: [choose(*size)], shape, **settings)
    return crop


def decoded(content, channels=3):
    """Returns the largest square at the left and the top, unscaled."""
    size = min(Image.open(io.BytesIO(content)).size)
    return decode_crop(content, lambda *_: CropBox(0, 0, size, size), (size, size, channels))
