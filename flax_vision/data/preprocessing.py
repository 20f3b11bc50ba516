"""From the pixels of a file to the numbers that a network takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Mean = Any
"""One number for all channels, one for each, or an image: nested sequences or array [H, W, C]."""


@dataclass(frozen=True)
class Preprocessing:
    """What every image goes through, in training and afterwards. Meant for the compiled step.

    Attributes:
      mean: subtracted, in units of a pixel (0 to 255).
      std: divides then, in the same units: one number, or one for each channel.
      resize: height and width that images are brought to, bilinearly; 0 to leave them.
      channels: how often a gray image is repeated, 0 to leave it.
      crop: height and width of the middle that the network sees; 0 for all of it.
    """

    mean: Mean
    std: Sequence[float]
    resize: int = 0
    channels: int = 0
    crop: int = 0

    def __call__(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns uint8 images [N, H, W, C] as float32, as the network sees them in a test."""
        return self.middle(self.normalize(self.pixels(images)))

    def pixels(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns float32 images from 0 to 255, resized and in color."""
        pixels = jnp.asarray(images, jnp.float32)
        if self.resize and pixels.shape[1:3] != (self.resize, self.resize):
            shape = (pixels.shape[0], self.resize, self.resize, pixels.shape[3])
            pixels = jax.image.resize(pixels, shape, "linear")
        if self.channels and pixels.shape[3] == 1:
            pixels = jnp.repeat(pixels, self.channels, axis=3)
        return pixels

    def normalize(self, pixels: jax.Array) -> jax.Array:
        """Subtracts the mean from float32 pixels [N, H, W, C], and divides."""
        mean = jnp.asarray(self.mean, jnp.float32)
        mean = mean[None] if mean.ndim == 3 else mean.reshape(1, 1, 1, -1)
        return (pixels - mean) / jnp.asarray(self.std, jnp.float32).reshape(1, 1, 1, -1)

    def middle(self, images: jax.Array) -> jax.Array:
        """Returns the middle of images [N, H, W, C] that the network sees."""
        if not self.crop:
            return images
        top, left = ((size - self.crop) // 2 for size in images.shape[1:3])
        return images[:, top : top + self.crop, left : left + self.crop]
