"""What the papers compute from their training images: the mean, and the colours' components."""

from collections.abc import Iterator
from typing import Literal

import jax
import numpy as np

from flax_vision.data.preprocessing import Preprocessing

_CHUNK = 512
"""Images at once."""


def mean_image(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Returns the mean of the images as they are before it is subtracted, float32 [H, W, C].

    Args:
      images: uint8 [N, H, W, C].
      preprocessing: that brings them to one size and number of channels.
    """
    total = sum(pixels.sum(axis=0, dtype=np.float64) for pixels in _pixels(images, preprocessing))
    return np.asarray(total / len(images), np.float32)


def colour_components(
    images: np.ndarray,
    preprocessing: Preprocessing,
    scaled_by: Literal["eigenvalues", "deviations"],
) -> np.ndarray:
    """Returns the principal components of the colours of all pixels, float32 [C, C], one a row.

    Each is multiplied by its eigenvalue, for pixels from 0 to 1 (Krizhevsky et al. 2012, section
    4.1; the scale is not stated, and this is the one at which the noise can be seen and does not
    hide the image), or by its standard deviation, as in the authors' code. Units: a pixel.

    Args:
      images: uint8 [N, H, W, C].
      preprocessing: that brings them to one size and number of channels.
      scaled_by: which of the two.
    """
    sums: np.ndarray | float = 0.0
    products: np.ndarray | float = 0.0
    count = 0
    for pixels in _pixels(images, preprocessing):
        colours = pixels.reshape(-1, pixels.shape[-1]).astype(np.float64) / 255
        sums, products = sums + colours.sum(axis=0), products + colours.T @ colours
        count += len(colours)
    mean = sums / count
    eigenvalues, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    eigenvalues = np.maximum(eigenvalues, 0)  # rounding
    scale = eigenvalues if scaled_by == "eigenvalues" else np.sqrt(eigenvalues)
    return np.asarray(255 * (vectors * scale).T, np.float32)


def _pixels(images: np.ndarray, preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    pixels = jax.jit(preprocessing.pixels)
    for start in range(0, len(images), _CHUNK):
        yield np.asarray(pixels(images[start : start + _CHUNK]))
