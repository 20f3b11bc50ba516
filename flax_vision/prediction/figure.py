"""Photographs with what a network takes them for, as figure 4 of the AlexNet paper has them.

Krizhevsky, Sutskever and Hinton 2012, section 6.1: with each image its class, and a bar for
each of the five classes that the network finds most probable, the right one in another colour.
"""

import math
from collections.abc import Sequence

from flax_vision.errors import UserError
from flax_vision.prediction.classifier import Classifier, Prediction
from flax_vision.report.drawing import LIGHT, Axes, Picture, Theme, label

MOST = 64
"""Photographs in a picture."""

_COLUMNS = 4
_WIDTH, _HEIGHT, _BAR = 2.6, 2.9, 0.24
"""Inches of a column, of a photograph with its title, and of a bar."""


def draw(
    classifier: Classifier, predictions: Sequence[Prediction], theme: Theme = LIGHT
) -> Picture:
    """Returns the picture of photographs with a bar for each class that is named for them.

    Args:
      classifier: that made the predictions.
      predictions: at least one, and at most `MOST`.
      theme: its colours.

    Raises:
      UserError: there are none, or more.
    """
    if not 0 < len(predictions) <= MOST:
        raise UserError(f"a picture shows 1 to {MOST} photographs, not {len(predictions):,}.")
    columns = min(_COLUMNS, len(predictions))
    rows = math.ceil(len(predictions) / columns)
    bars = _BAR * max(len(prediction.classes) for prediction in predictions)
    picture = Picture(_WIDTH * columns, (_HEIGHT + bars) * rows, theme)
    grid = picture.add_gridspec(2 * rows, columns, height_ratios=[2.4, 0.3 + bars] * rows)
    for i, prediction in enumerate(predictions):
        row, column = divmod(i, columns)
        _show(picture.add_subplot(grid[2 * row, column]), classifier, prediction, theme)
        _add_bars(picture.add_subplot(grid[2 * row + 1, column]), prediction, theme)
    return picture


def _show(axes: Axes, classifier: Classifier, prediction: Prediction, theme: Theme) -> None:
    axes.imshow(classifier.seen(prediction.path).squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    name = label(prediction.truth or prediction.path.name, 30)
    axes.set_title(name, fontsize=9, color=theme.ink)


def _add_bars(axes: Axes, prediction: Prediction, theme: Theme) -> None:
    places = range(len(prediction.classes))
    right = [name == prediction.truth for name in prediction.classes]
    colours = [theme.second if is_right else theme.first for is_right in right]
    axes.barh(places, prediction.probabilities, color=colours, height=0.85, alpha=0.4)
    for place, name in zip(places, prediction.classes, strict=True):
        axes.text(0.02, place, label(name, 30), va="center", fontsize=8, color=theme.ink)
    axes.set(xlim=(0, 1), xticks=[], yticks=[], facecolor=theme.paper)
    axes.invert_yaxis()
    for spine in axes.spines.values():
        spine.set_color(theme.grid)
