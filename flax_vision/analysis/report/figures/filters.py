"""Draws the kernels of the first layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Sheet, Theme, rescale
from flax_vision.data.file_list import natural
from flax_vision.errors import UserError

_PER_ROW = 8
"""Number of kernels in a row; twice as many for more than two rows."""
_GAP = 0.08
"""Gap between kernels, as a share of a cell."""


def filters(variables: Mapping[str, Any], theme: Theme = LIGHT) -> Picture:
    """Draws the kernels of the first layer, as in figure 3 of the AlexNet paper.

    Each kernel spans from its smallest weight (dark) to its largest. The columns of AlexNet are one
    above the other, as in the paper, where the two devices learned different kernels.

    Args:
      variables: Variables of a model.
      theme: Colors.

    Raises:
      UserError: No layer takes images of one or three channels.
    """
    kernels = first_kernels(variables)
    columns, height, width, _, count = kernels.shape
    across = _PER_ROW if count <= 2 * _PER_ROW else 2 * _PER_ROW
    cell = WIDTH / across
    heading = 0.34 if columns > 1 else 0.0
    tall = heading + -(-count // across) * cell * height / width
    sheet = Sheet(min(count, across) * cell, columns * tall, theme)
    for column in range(columns):
        if columns > 1:
            title = f"column {'ab'[column]}: {count} kernels"
            sheet.write(title, 0, column * tall + 0.1, fontsize=12.5)
        for number in range(count):
            top = column * tall + heading + number // across * cell * height / width
            kernel = rescale(kernels[column, ..., number])
            left, share = number % across * cell, 1 - _GAP
            size = cell * share, cell * share * height / width
            sheet.put(kernel, left, top, size, interpolation="nearest")
    return sheet


def first_kernels(variables: Mapping[str, Any]) -> np.ndarray:
    """Returns the kernels of the first layer, float32 [columns, height, width, channels, kernels].

    Args:
      variables: Variables of a model.

    Raises:
      UserError: No layer takes images of one or three channels.
    """
    kernels = {
        path: kernel
        for path, kernel in flatten_dict(dict(variables["params"]), sep="/").items()
        if path.rpartition("/")[2] == "kernel"
        and kernel.ndim >= 4
        and kernel.shape[-2] in (1, 3)
        and kernel.shape[-3] > 1
    }
    if not kernels:
        raise UserError("no layer of these variables has kernels for images of 1 or 3 channels.")
    kernel = np.asarray(kernels[natural(kernels)[0]], np.float32)
    return kernel if kernel.ndim == 5 else kernel[None]
