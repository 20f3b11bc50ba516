"""What the papers compute from their training images: the mean, and the colors' components."""

from collections.abc import Iterator
from typing import Literal

import jax
import numpy as np

from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.text import counted

_CHUNK = 128
"""Images at once."""

_SAMPLE = 10_000
"""Photographs that are looked at; of images in memory it is all."""


def mean_image(
    images: Dataset, preprocessing: Preprocessing, on_progress: ProgressFn
) -> np.ndarray:
    """Returns the mean of the images as they are before it is subtracted, float32 [H, W, C].

    Args:
      images: the training set; of photographs random parts are seen, as in training.
      preprocessing: that brings them to one size and number of channels.
      on_progress: called as it goes on with a text, the images so far and their number.
    """
    total: np.ndarray | float = 0.0
    count = 0
    for pixels in _pixels(images, preprocessing, on_progress):
        total, count = total + pixels.sum(axis=0, dtype=np.float64), count + len(pixels)
    return np.asarray(total / count, np.float32)


def pca_components(
    images: Dataset,
    preprocessing: Preprocessing,
    scaled_by: Literal["eigenvalues", "deviations"],
    on_progress: ProgressFn,
) -> np.ndarray:
    """Returns the principal components of the colors of all pixels, float32 [C, C], one a row.

    Each is multiplied by its eigenvalue, for pixels from 0 to 1 (Krizhevsky et al. 2012, section
    4.1; the scale is not stated, and this is the one at which the noise can be seen and does not
    hide the image), or by its standard deviation, as in the authors' code. Units: a pixel.

    Args:
      images: the training set; of photographs random parts are seen, as in training.
      preprocessing: that brings them to one size and number of channels.
      scaled_by: which of the two.
      on_progress: called as it goes on with a text, the images so far and their number.
    """
    sums: np.ndarray | float = 0.0
    products: np.ndarray | float = 0.0
    count = 0
    for pixels in _pixels(images, preprocessing, on_progress):
        colors = pixels.reshape(-1, pixels.shape[-1]).astype(np.float64) / 255
        sums, products = sums + colors.sum(axis=0), products + colors.T @ colors
        count += len(colors)
    mean = sums / count
    eigenvalues, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    eigenvalues = np.maximum(eigenvalues, 0)  # rounding
    scale = eigenvalues if scaled_by == "eigenvalues" else np.sqrt(eigenvalues)
    return np.asarray(255 * (vectors * scale).T, np.float32)


def _pixels(
    images: Dataset, preprocessing: Preprocessing, on_progress: ProgressFn
) -> Iterator[np.ndarray]:
    """Yields all images, or of photographs a sample that is always the same."""
    places = np.arange(len(images))
    if not images.in_memory:
        places = np.random.RandomState(0).permutation(places)[:_SAMPLE]
    groups = [places[start : start + _CHUNK] for start in range(0, len(places), _CHUNK)]
    pixels = jax.jit(preprocessing.pixels)
    done = used = 0
    for seen, readable in images.views(groups, (0, 0)):
        done, used = done + len(readable), used + int(readable.sum())
        on_progress("statistics of the training set", done, len(places))
        yield np.asarray(pixels(seen))[readable]
    if not used:
        raise UserError(
            f"none of {counted(done, 'training image')} can be read; look at one of them."
        )
