"""Draws images with their predicted classes, as in figure 4 of the AlexNet paper.

Krizhevsky, Sutskever and Hinton 2012, section 6.1: each image has its class and a bar for each of
the five most probable classes. The bar of the right class has another color.
"""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from flax_vision.analysis.report.figures.drawing import LIGHT, Picture, Theme, label
from flax_vision.errors import UserError
from flax_vision.evaluation.classifier import Classifier, Prediction

MAX_IMAGES = 64
"""Largest number of images in a figure."""

MAX_BARS = 20
"""Largest number of bars of an image."""

_COLUMNS = 4
_ALPHA = 0.4
_WIDTH, _HEIGHT, _BAR = 2.6, 2.9, 0.24
"""Sizes of a column, an image with its title, and a bar, in inches."""


def draw(
    classifier: Classifier, predictions: Sequence[Prediction], theme: Theme = LIGHT
) -> Picture:
    """Draws images with a bar for each predicted class.

    The title of an image is its class, or the name of its file if the class is unknown.

    Args:
      classifier: Classifier of the predictions.
      predictions: One to `MAX_IMAGES` predictions; the `MAX_BARS` most probable classes of
        each have a bar.
      theme: Colors.

    Raises:
      UserError: There are no predictions, or too many.
    """
    if not 0 < len(predictions) <= MAX_IMAGES:
        raise UserError(f"a figure shows 1 to {MAX_IMAGES} images, not {len(predictions):,}.")
    columns = min(_COLUMNS, len(predictions))
    rows = math.ceil(len(predictions) / columns)
    bars = _BAR * min(MAX_BARS, max(len(prediction.classes) for prediction in predictions))
    picture = Picture(_WIDTH * columns, (_HEIGHT + bars) * rows, theme)
    grid = picture.add_gridspec(2 * rows, columns, height_ratios=[2.4, 0.3 + bars] * rows)
    for i, prediction in enumerate(predictions):
        row, column = divmod(i, columns)
        _show(picture.add_subplot(grid[2 * row, column]), classifier, prediction, theme)
        _add_bars(picture.add_subplot(grid[2 * row + 1, column]), prediction, theme)
    if any(prediction.truth for prediction in predictions):
        _add_legend(picture, theme)
    return picture


def _show(axes: Axes, classifier: Classifier, prediction: Prediction, theme: Theme) -> None:
    axes.imshow(classifier.seen(prediction.path).squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    title, color = prediction.truth, theme.ink
    if title is None:
        title, color = prediction.path.name, theme.faint
    axes.set_title(label(title, 30), fontsize=9, color=color)


def _add_bars(axes: Axes, prediction: Prediction, theme: Theme) -> None:
    names, shares = prediction.classes[:MAX_BARS], prediction.probabilities[:MAX_BARS]
    colors = [theme.second if name == prediction.truth else theme.first for name in names]
    axes.barh(range(len(names)), shares, color=colors, height=0.85, alpha=_ALPHA)
    letters: dict[str, Any] = {"va": "center", "fontsize": 8, "color": theme.ink}
    for index, (name, share) in enumerate(zip(names, shares, strict=True)):
        axes.text(0.02, index, label(name, 28), **letters)
        axes.text(0.98, index, f"{share:.1%}", ha="right", **letters)
    axes.set(xlim=(0, 1), xticks=[], yticks=[], facecolor=theme.paper)
    axes.invert_yaxis()
    for spine in axes.spines.values():
        spine.set_color(theme.grid)


def _add_legend(picture: Picture, theme: Theme) -> None:
    meanings = {"the class of the image": theme.second, "another": theme.first}
    picture.legend(
        handles=[Patch(color=x, alpha=_ALPHA, label=text) for text, x in meanings.items()],
        loc="outside lower center",
        ncols=1 if picture.get_figwidth() < 2 * _WIDTH else 2,
        frameon=False,
        labelcolor=theme.ink,
        fontsize=9,
    )
