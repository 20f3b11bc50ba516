"""Statistics of a training set: the mean image, and the principal components of its colors."""

from collections.abc import Iterator
from typing import Literal

import jax
import numpy as np

from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.text import counted

_CHUNK = 128
"""Images in one batch."""

_SAMPLE = 10_000
"""Number of sampled image files; images in memory are all used."""


def mean_image(
    dataset: Dataset, preprocessing: Preprocessing, on_progress: ProgressFn
) -> np.ndarray:
    """Computes the mean of the images before normalization, float32 [H, W, C].

    Args:
      dataset: Training set; image files are randomly cropped, as in training.
      preprocessing: Source of the size and the number of channels.
      on_progress: Function that gets a text, the images so far and their number.
    """
    total: np.ndarray | float = 0.0
    count = 0
    for pixels in _pixels(dataset, preprocessing, on_progress):
        total, count = total + pixels.sum(axis=0, dtype=np.float64), count + len(pixels)
    return np.asarray(total / count, np.float32)


def pca_components(
    dataset: Dataset,
    preprocessing: Preprocessing,
    scaled_by: Literal["eigenvalues", "deviations"],
    on_progress: ProgressFn,
) -> np.ndarray:
    """Computes the principal components of all pixels' colors, float32 [C, C], one per row.

    Each is multiplied by its eigenvalue or by its standard deviation, in units of a pixel.
    Eigenvalues are of pixels from 0 to 1 (Krizhevsky et al. 2012, section 4.1). The paper does not
    state this scale; with it the noise is visible and does not hide the image. The authors' code
    uses the standard deviation.

    Args:
      dataset: Training set; image files are randomly cropped, as in training.
      preprocessing: Source of the size and the number of channels.
      scaled_by: Factor of each component.
      on_progress: Function that gets a text, the images so far and their number.
    """
    sums: np.ndarray | float = 0.0
    products: np.ndarray | float = 0.0
    count = 0
    for pixels in _pixels(dataset, preprocessing, on_progress):
        colors = pixels.reshape(-1, pixels.shape[-1]).astype(np.float64) / 255
        sums, products = sums + colors.sum(axis=0), products + colors.T @ colors
        count += len(colors)
    mean = sums / count
    eigenvalues, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    eigenvalues = np.maximum(eigenvalues, 0)  # rounding
    scale = eigenvalues if scaled_by == "eigenvalues" else np.sqrt(eigenvalues)
    return np.asarray(255 * (vectors * scale).T, np.float32)


def _pixels(
    dataset: Dataset, preprocessing: Preprocessing, on_progress: ProgressFn
) -> Iterator[np.ndarray]:
    """Yields all images in memory, or a fixed sample of image files."""
    indices = np.arange(len(dataset))
    if not dataset.in_memory:
        indices = np.random.RandomState(0).permutation(indices)[:_SAMPLE]
    groups = [indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK)]
    pixels = jax.jit(preprocessing.pixels)
    done = used = 0
    for images, is_readable in dataset.batches(groups, (0, 0)):
        done, used = done + len(is_readable), used + int(is_readable.sum())
        on_progress("statistics of the training set", done, len(indices))
        yield np.asarray(pixels(images))[is_readable]
    if not used:
        raise UserError(
            f"none of {counted(done, 'training image')} can be read; check one of them in a viewer."
        )
