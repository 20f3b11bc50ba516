"""From the pixels of a file to the numbers that a network takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """Subtracts a mean and divides by a standard deviation, both in units of a pixel (0 to 255).

    Attributes:
      mean: one number for all channels, or one for each.
      std: the same.
    """

    mean: Sequence[float]
    std: Sequence[float]

    def __call__(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns uint8 images [N, H, W, C] as float32. Meant to run in the compiled step."""
        shape = (1, 1, 1, -1)
        mean = jnp.asarray(self.mean, jnp.float32).reshape(shape)
        std = jnp.asarray(self.std, jnp.float32).reshape(shape)
        return (jnp.asarray(images, jnp.float32) - mean) / std
