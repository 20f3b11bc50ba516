"""Padding, as papers and libraries specify it."""

from collections.abc import Sequence
from typing import Literal

from jax import lax

Pairs = tuple[tuple[int, int], tuple[int, int]]
Padding = int | Pairs | Literal["VALID", "SAME", "CEIL"]


def padding_pairs(
    padding: Padding, shape: Sequence[int], window: Sequence[int], stride: int
) -> Pairs:
    """Returns the padding (above, below) and (left, right) of an image.

    Args:
      padding: The same number for every side; the pairs themselves; `"VALID"` for none; `"SAME"`
        for outputs of ceil(size / stride), the odd pixel after the image, as in TensorFlow;
        `"CEIL"` for the least padding after the image that covers every pixel, as in Caffe's pools.
      shape: Image shape [N, H, W, C].
      window: Height and width of the window.
      stride: Distance between two windows, in pixels.

    Raises:
      ValueError: The padding has another name.
    """
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    if not isinstance(padding, str):
        return padding
    height, width = shape[1:3]
    if padding == "CEIL":
        return (0, (window[0] - height) % stride), (0, (window[1] - width) % stride)
    if padding not in ("VALID", "SAME"):
        raise ValueError(
            f"padding is {padding!r}; it must be a number, pairs, VALID, SAME or CEIL."
        )
    vertical, horizontal = lax.padtype_to_pads((height, width), window, (stride, stride), padding)
    return vertical, horizontal


def output_size(size: int, window: int, stride: int, pair: tuple[int, int] = (0, 0)) -> int:
    """Returns the number of windows along one axis of a padded image."""
    return (size + sum(pair) - window) // stride + 1
