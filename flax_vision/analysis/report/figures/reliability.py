"""Draws the reliability diagram: accuracy by confidence (Guo et al. 2017, figure 1)."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, style
from flax_vision.evaluation.class_metrics import NUM_BINS, ClassCounts


def reliability(counts: ClassCounts, theme: Theme = LIGHT) -> Picture:
    """Draws the accuracy in each bin of confidence, above the share of the images in the bin.

    The accuracies of a calibrated model are on the diagonal.

    Args:
      counts: Counts of the tested images.
      theme: Colors.
    """
    picture = Picture(0.8 * WIDTH, 0.8 * WIDTH, theme)
    upper, lower = picture.subplots(2, sharex=True, height_ratios=[3, 1])
    centers = (np.arange(NUM_BINS) + 0.5) / NUM_BINS
    images = np.asarray(counts.bin_count, np.float64)
    accuracy = np.asarray(counts.bin_correct, np.float64) / np.maximum(images, 1)
    bars = {"width": 0.9 / NUM_BINS, "color": theme.first}
    upper.bar(centers, accuracy, **bars)
    upper.plot([0, 1], [0, 1], color=theme.second, lw=2, ls="--", label="calibrated")
    upper.legend(frameon=False, labelcolor=theme.ink, fontsize=12)
    lower.bar(centers, images / max(images.sum(), 1), **bars)
    for axes, title in ((upper, "accuracy"), (lower, "share of the images")):
        style(axes, theme)
        axes.set_title(title, loc="left", color=theme.ink, fontsize=13, fontweight="bold")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    upper.set(xlim=(0, 1), ylim=(0, 1))
    lower.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    lower.set_xlabel("confidence", fontsize=12)
    return picture
