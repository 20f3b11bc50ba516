"""Background of images: gray level along their edges, and comparison with other images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flax_vision.data.dataset import Array, Dataset, ProgressFn

_SAMPLE = 500
"""Number of measured images; decoding as many photographs takes a second."""

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


def edge_levels(images: Array) -> np.ndarray:
    """Computes the mean gray level along the edges of each image.

    Args:
      images: uint8 [N, H, W, C].

    Returns:
      float64 [N], from 0 to 255.
    """
    pixels = np.asarray(images)
    edges = (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1])
    return np.concatenate(edges, axis=1).mean(axis=(1, 2))


def sample_edge_levels(images: Dataset, on_progress: ProgressFn) -> np.ndarray:
    """Computes `edge_levels` of a fixed sample of a set, with the crops of a test.

    Args:
      images: Set of images.
      on_progress: Function that gets a text, the images so far and their number.

    Returns:
      float64 [N], for the readable images.
    """
    return np.concatenate([np.empty(0), *_levels(images, on_progress)])


def _levels(images: Dataset, on_progress: ProgressFn) -> Iterator[np.ndarray]:
    sample = np.random.RandomState(0).permutation(len(images))[:_SAMPLE]
    groups = [sample[start : start + _CHUNK] for start in range(0, len(sample), _CHUNK)]
    done = 0
    for seen, is_readable in images.views(groups, None):
        done += len(is_readable)
        on_progress("background of the images", done, len(sample))
        yield edge_levels(seen)[is_readable]


def measure_background(images: Dataset, on_progress: ProgressFn) -> Background | None:
    """Measures the background of a training set; None where no image can be read.

    Args:
      images: Training set.
      on_progress: Function that gets a text, the images so far and their number.
    """
    levels = sample_edge_levels(images, on_progress)
    if not len(levels):
        return None
    return Background(round(float(levels.mean()), 3), round(float(levels.std()), 3))


def background_hint(levels: np.ndarray, background: Background | None) -> str:
    """Returns a hint if most images are on another background than in training, else nothing.

    Sets of photographs never get it for their own images: their edges have all levels, so the
    standard deviation is large.

    Args:
      levels: Gray levels along the edges of the images.
      background: Background of the training images; None where it is not known.
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
