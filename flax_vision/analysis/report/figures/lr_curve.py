"""Draws the loss of a learning rate range test."""

import numpy as np

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, style
from flax_vision.training.lr_finder import RangeTest


def draw(test: RangeTest, theme: Theme = LIGHT) -> Picture:
    """Draws the loss by learning rate, with the suggestions.

    Args:
      test: Result of the test.
      theme: Colors.
    """
    picture = Picture(WIDTH, 0.6 * WIDTH, theme)
    axes = picture.add_subplot()
    style(axes, theme)
    axes.grid(color=theme.grid, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate", fontsize=12)
    axes.set_title("training loss", loc="left", color=theme.ink, fontsize=13, fontweight="bold")
    axes.plot(test.rates, test.losses, color=theme.grid, lw=1, label="each step")
    axes.plot(test.rates, test.smoothed, color=theme.first, lw=2, label="smoothed")
    marks = {
        "a tenth of the minimum's rate": (test.tenth_of_minimum, "o"),
        "steepest": (test.steepest, "s"),
    }
    for name, (rate, marker) in marks.items():
        loss = np.interp(np.log(rate), np.log(test.rates), test.smoothed)
        label = f"{name}: {rate:.2g}"
        axes.plot([rate], [loss], color=theme.second, marker=marker, ls="", ms=8, label=label)
    fall = test.smoothed[0] - test.smoothed.min()
    # The last losses may be thousands of times as large as the first.
    axes.set_ylim(test.losses.min() - 0.1 * fall, test.smoothed[0] + 0.5 * fall)
    axes.legend(frameon=False, labelcolor=theme.ink, fontsize=11)
    return picture
