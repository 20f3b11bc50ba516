"""Draws augmented training images."""

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Sheet, Theme
from flax_vision.data.augmentation import Augmentation
from flax_vision.data.preprocessing import Preprocessing

_GAP = 0.06
"""Gap between two images in inches."""


def augment(
    images: np.ndarray,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    seed: int,
    times: int = 6,
) -> np.ndarray:
    """Returns several augmentations of images as pixels, uint8 [times, N, H, W, C].

    Args:
      images: uint8 [N, H, W, C]; mixup and CutMix mix them with each other.
      augmentation: Augmentation of the training.
      preprocessing: Preprocessing of the training.
      seed: Seed of the random numbers.
      times: Number of augmentations of each image.
    """

    @jax.jit
    def apply(keys: jax.Array) -> jax.Array:
        x = augmentation(images, keys, preprocessing)
        if augmentation.mixes:
            x, _ = augmentation.mix(x, keys, np.ones(len(images), bool))
        return x

    count = len(images)
    keys = jax.random.split(jax.random.key(seed), (times, count))
    normalized = np.stack([jax.device_get(apply(own)) for own in keys])
    # The normalized values of 0 and 255 give the inverse of the normalization.
    black, white = (
        preprocessing.center_crop(
            preprocessing.normalize(jnp.full(_pixels_shape(images, preprocessing), value))
        )
        for value in (np.float32(0), np.float32(255))
    )
    pixels = (normalized - np.asarray(black)) / np.asarray(white - black) * 255
    return pixels.round().clip(0, 255).astype(np.uint8)


def _pixels_shape(images: np.ndarray, preprocessing: Preprocessing) -> tuple[int, ...]:
    return jax.eval_shape(preprocessing.pixels, images[:1]).shape


def augmented(forms: np.ndarray, theme: Theme = LIGHT) -> Picture:
    """Draws the augmentations of each image in a row.

    Args:
      forms: uint8 [columns, rows, H, W, C].
      theme: Colors.
    """
    columns, rows, height, width, _ = forms.shape
    cell = WIDTH / columns
    size = cell - _GAP, (cell - _GAP) * height / width
    sheet = Sheet(WIDTH, rows * (size[1] + _GAP), theme)
    for column, images in enumerate(forms):
        for row, image in enumerate(images):
            left, top = column * cell + _GAP / 2, row * (size[1] + _GAP) + _GAP / 2
            sheet.put(image, left, top, size, vmin=0, vmax=255)
    return sheet
