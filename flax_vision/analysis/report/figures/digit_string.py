"""Draws a string of digits above the outputs of the space displacement network.

As in the figures of section VII of LeCun et al. 1998: the input above, the row of outputs below.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from flax_vision.analysis.digit_strings import StringReading
from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, label, style
from flax_vision.models.lenet import INPUT_SIZE
from flax_vision.models.lenet_sdnn import OUTPUT_STRIDE

_RANGE = 60
"""Difference of scores between the darkest and the lightest cell."""


def digit_string(
    image: np.ndarray,
    reading: StringReading,
    truth: Sequence[int] = (),
    class_names: Sequence[str] = (),
    theme: Theme = LIGHT,
) -> Picture:
    """Draws a string of digits, the scores of all positions, and the digits that were read.

    Each column of cells is a position, below the center of its window; each row is a class. Frames
    mark the digits of the best path.

    Args:
      image: The string, uint8 [32, width, C].
      reading: Result of `read_string`.
      truth: Classes of the digits; empty if they are unknown.
      class_names: Names of the classes; empty for their numbers.
      theme: Colors.
    """
    names = list(class_names) or [str(index) for index in range(reading.scores.shape[1])]
    picture = Picture(WIDTH, 0.55 * WIDTH, theme)
    ratio = INPUT_SIZE / image.shape[1] * WIDTH / (0.55 * WIDTH)
    above, below = picture.subplots(2, 1, sharex=True, height_ratios=[max(ratio, 0.25), 0.6])
    above.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, aspect="auto")
    above.set_axis_off()
    read = "".join(names[digit] for digit in reading.digits) or "nothing"
    title = f"read {label(read, 40)}"
    if truth:
        title += f", is {label(''.join(names[digit] for digit in truth), 40)}"
    above.set_title(title, loc="left", color=theme.ink, fontsize=13, fontweight="bold")
    _draw_scores(below, reading, names, theme)
    above.set_xlim(-0.5, image.shape[1] - 0.5)
    below.set_xlabel("pixel", fontsize=12)
    below.set_ylabel("class", fontsize=12)
    return picture


def _draw_scores(axes: Any, reading: StringReading, names: Sequence[str], theme: Theme) -> None:
    """Draws the cells of all positions and classes; the best scores are the darkest."""
    style(axes, theme)
    positions, classes = reading.scores.shape
    left = (INPUT_SIZE - OUTPUT_STRIDE) / 2 - 0.5
    edges = left, left + OUTPUT_STRIDE * positions, classes - 0.5, -0.5
    scale = LinearSegmentedColormap.from_list("", [theme.paper, theme.first])
    best = float(reading.scores.max())
    axes.imshow(reading.scores.T, scale, vmin=best - _RANGE, vmax=best, aspect="auto", extent=edges)
    for position, digit in zip(reading.positions, reading.digits, strict=True):
        corner = left + OUTPUT_STRIDE * position, digit - 0.5
        axes.add_patch(
            Rectangle(corner, OUTPUT_STRIDE, 1, fill=False, edgecolor=theme.second, lw=2)
        )
    axes.set_yticks(range(classes), [label(name, 12) for name in names], fontsize=9)
