"""PNG images that another program reads."""

import io

import numpy as np
import pytest
from PIL import Image

from flax_vision.data.prepare.png import encode_png


@pytest.mark.parametrize(
    ("shape", "mode"), [((28, 28), "L"), ((5, 3, 1), "L"), ((32, 31, 3), "RGB"), ((1, 1, 3), "RGB")]
)
def test_pillow_reads_the_same_pixels(shape, mode):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    image = Image.open(io.BytesIO(encode_png(pixels)))
    image.verify()  # checksums
    image = Image.open(io.BytesIO(encode_png(pixels)))
    assert (image.format, image.mode) == ("PNG", mode)
    np.testing.assert_array_equal(np.asarray(image).reshape(shape), pixels)
