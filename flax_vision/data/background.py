"""Background of images: gray level along their edges, and comparison with other images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from flax_vision.data.dataset import Dataset, ProgressFn

_SAMPLE = 500
"""Number of measured images; decoding as many image files takes a second."""

_CHUNK = 100
"""Images in one batch."""

_MIN_DEVIATIONS, _MIN_LEVELS = 4.0, 64.0
"""Distance from the mean beyond which a background differs; the larger limit applies."""

_ADVICE = {
    True: "invert the images, for example with PIL.ImageOps.invert",
    False: "the model may be wrong on them, so give images with a background as in training",
}
"""Advice for images on another background, by whether they look like negatives."""


@dataclass(frozen=True)
class Background:
    """Gray level along the edges of images, over a set of images.

    Attributes:
      mean: Mean over the images, from 0 to 255.
      std: Standard deviation over the images.
    """

    mean: float
    std: float


def edge_levels(images: ArrayLike) -> np.ndarray:
    """Computes the mean gray level along the edges of each image.

    Args:
      images: uint8 [N, H, W, C].

    Returns:
      float64 [N], from 0 to 255.
    """
    pixels = np.asarray(images)
    edges = (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1])
    return np.concatenate(edges, axis=1).mean(axis=(1, 2))


def sample_edge_levels(dataset: Dataset, on_progress: ProgressFn) -> np.ndarray:
    """Computes `edge_levels` of a fixed sample of a dataset, with the crops of evaluation.

    Args:
      dataset: Set of images.
      on_progress: Function that gets a text, the images so far and their number.

    Returns:
      float64 [N], for the readable images.
    """
    sample = np.random.RandomState(0).permutation(len(dataset))[:_SAMPLE]
    groups = [sample[start : start + _CHUNK] for start in range(0, len(sample), _CHUNK)]
    levels = np.empty(0)
    done = 0
    for images, is_readable in dataset.batches(groups, None):
        done += len(is_readable)
        on_progress("background of the images", done, len(sample))
        levels = np.append(levels, edge_levels(images)[is_readable])
    return levels


def measure_background(dataset: Dataset, on_progress: ProgressFn) -> Background | None:
    """Measures the background of a training set; None if no image is readable.

    Args:
      dataset: Training set.
      on_progress: Function that gets a text, the images so far and their number.
    """
    levels = sample_edge_levels(dataset, on_progress)
    if not len(levels):
        return None
    return Background(round(float(levels.mean()), 3), round(float(levels.std()), 3))


def background_hint(levels: np.ndarray, background: Background | None) -> str:
    """Returns a hint if most images are on another background than in training, else nothing.

    Sets of natural images never get it for their own images: their edges have all levels, so the
    standard deviation is large.

    Args:
      levels: Gray levels along the edges of the images.
      background: Background of the training images; None if unknown.
    """
    if background is None or not len(levels):
        return ""
    distance = np.abs(levels - background.mean)
    is_other = distance > max(_MIN_DEVIATIONS * background.std, _MIN_LEVELS)
    if np.mean(is_other) <= 0.5:
        return ""
    inverted_distance = np.abs(255 - levels - background.mean)
    is_negative = np.mean((inverted_distance < distance / 2)[is_other]) > 0.5
    found = float(np.median(levels[is_other]))
    return (
        f"most of these images have {_description(found, background.mean)} one (gray level of the "
        f"edges: {found:.0f} here, {background.mean:.0f} in training); {_ADVICE[bool(is_negative)]}"
    )


def _description(found: float, trained: float) -> str:
    tones = ["light" if level > 127.5 else "dark" for level in (found, trained)]
    if tones[0] == tones[1]:
        tones = ["darker", "lighter"] if found < trained else ["lighter", "darker"]
    return f"a {tones[0]} background, but the training images have a {tones[1]}"
