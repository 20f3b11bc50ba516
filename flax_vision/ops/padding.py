"""Padding, as the papers and the libraries state it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

Pairs = tuple[tuple[int, int], tuple[int, int]]
Padding = int | Pairs | Literal["VALID", "SAME", "CEIL"]


def padding_pairs(
    padding: Padding, shape: Sequence[int], window: Sequence[int], stride: int
) -> Pairs:
    """Returns what is padded above and below, left and right of an image.

    Args:
      padding: the same number on every side; the pairs themselves; `"VALID"` for none; `"SAME"`
        for as little as makes the output ceil(size / stride), the odd pixel after the image, as
        TensorFlow does; `"CEIL"` for none but after the image, as little as lets the window reach
        every pixel, as Caffe's pooling does.
      shape: [N, H, W, C] of the image.
      window: height and width of the window.
      stride: between two windows, in pixels.
    """
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    if not isinstance(padding, str):
        return padding
    height, width = (
        _pair(padding, size, extent, stride)
        for size, extent in zip(shape[1:3], window, strict=True)
    )
    return height, width


def output_size(size: int, window: int, stride: int, pair: tuple[int, int]) -> int:
    """Returns how many windows fit into one side of a padded image."""
    return (size + sum(pair) - window) // stride + 1


def _pair(padding: str, size: int, window: int, stride: int) -> tuple[int, int]:
    if padding == "VALID":
        return 0, 0
    if padding == "CEIL":
        return 0, int(np.ceil((size - window) / stride)) * stride + window - size
    if padding != "SAME":
        raise ValueError(
            f"padding is {padding!r}; it must be a number, pairs, VALID, SAME or CEIL."
        )
    missing = max((int(np.ceil(size / stride)) - 1) * stride + window - size, 0)
    return missing // 2, missing - missing // 2
