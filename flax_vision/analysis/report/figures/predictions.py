"""Photographs with what a network takes them for, as figure 4 of the AlexNet paper has them.

Krizhevsky, Sutskever and Hinton 2012, section 6.1: with each image its class, and a bar for
each of the five classes that the network finds most probable, the right one in another color.
"""

import math
from collections.abc import Sequence
from typing import Any

from flax_vision.analysis.report.figures.drawing import (
    LIGHT,
    Axes,
    Patch,
    Picture,
    Theme,
    label,
)
from flax_vision.errors import UserError
from flax_vision.evaluation.classifier import Classifier, Prediction

MOST = 64
"""Photographs in a picture."""

MOST_BARS = 20
"""For each of them."""

_COLUMNS = 4
_ALPHA = 0.4
_WIDTH, _HEIGHT, _BAR = 2.6, 2.9, 0.24
"""Inches of a column, of a photograph with its title, and of a bar."""


def draw(
    classifier: Classifier, predictions: Sequence[Prediction], theme: Theme = LIGHT
) -> Picture:
    """Returns the picture of photographs with a bar for each class that is named for them.

    Above a photograph stands its class, or, fainter, the name of its file where nobody knows that.

    Args:
      classifier: that made the predictions.
      predictions: at least one, and at most `MOST`; of the classes of each the `MOST_BARS` most
        probable have a bar.
      theme: its colors.

    Raises:
      UserError: there are none, or more.
    """
    if not 0 < len(predictions) <= MOST:
        raise UserError(f"a picture shows 1 to {MOST} photographs, not {len(predictions):,}.")
    columns = min(_COLUMNS, len(predictions))
    rows = math.ceil(len(predictions) / columns)
    bars = _BAR * min(MOST_BARS, max(len(prediction.classes) for prediction in predictions))
    picture = Picture(_WIDTH * columns, (_HEIGHT + bars) * rows, theme)
    grid = picture.add_gridspec(2 * rows, columns, height_ratios=[2.4, 0.3 + bars] * rows)
    for i, prediction in enumerate(predictions):
        row, column = divmod(i, columns)
        _show(picture.add_subplot(grid[2 * row, column]), classifier, prediction, theme)
        _add_bars(picture.add_subplot(grid[2 * row + 1, column]), prediction, theme)
    if any(prediction.truth for prediction in predictions):
        _explain(picture, theme)
    return picture


def _show(axes: Axes, classifier: Classifier, prediction: Prediction, theme: Theme) -> None:
    axes.imshow(classifier.seen(prediction.path).squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    title, color = prediction.truth, theme.ink
    if title is None:
        title, color = prediction.path.name, theme.faint
    axes.set_title(label(title, 30), fontsize=9, color=color)


def _add_bars(axes: Axes, prediction: Prediction, theme: Theme) -> None:
    names, shares = prediction.classes[:MOST_BARS], prediction.probabilities[:MOST_BARS]
    colors = [theme.second if name == prediction.truth else theme.first for name in names]
    axes.barh(range(len(names)), shares, color=colors, height=0.85, alpha=_ALPHA)
    letters: dict[str, Any] = {"va": "center", "fontsize": 8, "color": theme.ink}
    for place, (name, share) in enumerate(zip(names, shares, strict=True)):
        axes.text(0.02, place, label(name, 28), **letters)
        axes.text(0.98, place, f"{share:.1%}", ha="right", **letters)
    axes.set(xlim=(0, 1), xticks=[], yticks=[], facecolor=theme.paper)
    axes.invert_yaxis()
    for spine in axes.spines.values():
        spine.set_color(theme.grid)


def _explain(picture: Picture, theme: Theme) -> None:
    """Adds which color is that of the right class."""
    meanings = {"the class of the photograph": theme.second, "another": theme.first}
    picture.legend(
        handles=[Patch(color=x, alpha=_ALPHA, label=text) for text, x in meanings.items()],
        loc="outside lower center",
        ncols=1 if picture.get_figwidth() < 2 * _WIDTH else 2,
        frameon=False,
        labelcolor=theme.ink,
        fontsize=9,
    )
