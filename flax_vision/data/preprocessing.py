"""Conversion of uint8 pixels to the input of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Mean = Any
"""One number for all channels, one per channel, or an image [H, W, C]; an array or sequences."""


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of every image in training and evaluation, inside the compiled step.

    Attributes:
      mean: Mean to subtract, in units of a pixel (0 to 255).
      std: Divisor in the same units: one number, or one per channel.
      resize: Height and width of bilinearly resized images; 0 to keep the size.
      channels: Number of copies of a gray channel; 0 to keep it.
      crop: Height and width of the center crop; 0 for the whole image.
    """

    mean: Mean
    std: Sequence[float]
    resize: int = 0
    channels: int = 0
    crop: int = 0

    def __call__(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns uint8 images [N, H, W, C] as the float32 input of a model in evaluation."""
        return self.center_crop(self.normalize(self.pixels(images)))

    def pixels(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns float32 images from 0 to 255, resized and in color."""
        pixels = jnp.asarray(images, jnp.float32)
        if self.resize and pixels.shape[1:3] != (self.resize, self.resize):
            pixels = self.resized(pixels)
        if self.channels and pixels.shape[3] == 1:
            pixels = jnp.repeat(pixels, self.channels, axis=3)
        return pixels

    def resized(self, pixels: jax.Array) -> jax.Array:
        """Returns float32 images, bilinearly resized to `resize`."""
        shape = (pixels.shape[0], self.resize, self.resize, pixels.shape[3])
        return jax.image.resize(pixels, shape, "linear")

    def normalize(self, pixels: jax.Array) -> jax.Array:
        """Subtracts the mean from float32 pixels [N, H, W, C], and divides by `std`."""
        mean = jnp.asarray(self.mean, jnp.float32)
        mean = mean[None] if mean.ndim == 3 else mean.reshape(1, 1, 1, -1)
        return (pixels - mean) / jnp.asarray(self.std, jnp.float32).reshape(1, 1, 1, -1)

    def center_crop(self, images: jax.Array) -> jax.Array:
        """Returns the center of images [N, H, W, C]."""
        if not self.crop:
            return images
        top, left = ((size - self.crop) // 2 for size in images.shape[1:3])
        return images[:, top : top + self.crop, left : left + self.crop]
