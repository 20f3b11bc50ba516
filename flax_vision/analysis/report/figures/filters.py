"""What the first layer of a network looks for."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from flax_vision.analysis.report.figures.drawing import (
    LIGHT,
    WIDTH,
    Picture,
    Sheet,
    Theme,
    stretched,
)
from flax_vision.errors import UserError

_FEW = 8
"""Kernels side by side, or twice as many where there are more than two rows of them."""
_GAP = 0.08
"""Share of a kernel's place that is left empty."""


def filters(variables: Mapping[str, Any], theme: Theme = LIGHT) -> Picture:
    """Returns the picture of the kernels of the first layer: AlexNet's figure 3.

    Each kernel is shown from its least weight, dark, to its greatest. The columns of AlexNet stand
    one above the other, as in the paper: what the two devices learned there differs.

    Args:
      variables: of a network.
      theme: its colors.

    Raises:
      UserError: no layer of it sees images of one or three channels.
    """
    kernels = first_kernels(variables)
    columns, height, width, _, count = kernels.shape
    across = _FEW if count <= 2 * _FEW else 2 * _FEW
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
            kernel = stretched(kernels[column, ..., number])
            left, share = number % across * cell, 1 - _GAP
            size = cell * share, cell * share * height / width
            sheet.put(kernel, left, top, *size, interpolation="nearest")
    return sheet


def first_kernels(variables: Mapping[str, Any]) -> np.ndarray:
    """Returns the kernels of the first layer, float32 [columns, height, width, channels, kernels].

    Args:
      variables: of a network.

    Raises:
      UserError: no layer of it sees images of one or three channels.
    """
    leaves = flatten_dict(dict(variables["params"]))
    kernels = {
        path: np.asarray(kernel, np.float32)
        for path, kernel in leaves.items()
        if path[-1] == "kernel" and kernel.ndim >= 4
    }
    seen = [
        path
        for path, kernel in kernels.items()
        if kernel.shape[-2] in (1, 3) and kernel.shape[-3] > 1
    ]
    if not seen:
        raise UserError("no layer of these variables has kernels for images of 1 or 3 channels.")
    kernel = kernels[min(seen, key=_in_order)]
    return kernel if kernel.ndim == 5 else kernel[None]


def _in_order(path: tuple[str, ...]) -> list[tuple[int, str]]:
    """Returns what conv2 comes before conv10 by."""
    parts = re.findall(r"\d+|\D+", "/".join(path))
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]
