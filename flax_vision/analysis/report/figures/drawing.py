"""Helpers of all figures: sizes, colors and fonts, for light and dark pages.

No figure uses pyplot. A notebook displays a figure that is the last value of a cell, and `savefig`
writes it to a file.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flax_vision.text import printable

WIDTH = 6.4
"""Width of a figure in inches: a phone's, at the smallest legible font size."""

_DPI = 150


@dataclass(frozen=True)
class Theme:
    """Colors of a figure.

    Attributes:
      paper: Background.
      ink: Text.
      faint: Less important text.
      grid: Grid lines.
      first: Main data.
      second: Data for comparison.
    """

    paper: str
    ink: str
    faint: str
    grid: str
    first: str
    second: str


LIGHT = Theme("#ffffff", "#1f2328", "#636c76", "#dde1e6", "#1f6feb", "#d4500b")
DARK = Theme("#161b22", "#e6edf3", "#9aa4af", "#343b44", "#6cb0ff", "#ff9d5c")


class Picture(Figure):
    """A figure that displays in a notebook with any backend of matplotlib."""

    def __init__(self, width: float, height: float, theme: Theme = LIGHT) -> None:
        super().__init__(figsize=(width, height), dpi=_DPI, facecolor=theme.paper)
        self.set_layout_engine("constrained")
        self.theme = theme
        FigureCanvasAgg(self)

    def png(self) -> bytes:
        """Returns the content of a PNG file."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()

    def savefig(self, *arguments: Any, **settings: Any) -> None:
        """Writes the figure to a file, as in matplotlib."""
        with warnings.catch_warnings():
            # Class names may have characters that matplotlib's font lacks.
            warnings.filterwarnings("ignore", "Glyph .* missing from")
            super().savefig(*arguments, **settings)

    def _repr_png_(self) -> bytes:
        return self.png()


class Sheet(Picture):
    """A figure of images at any position, in inches from the top left corner."""

    def __init__(self, width: float, height: float, theme: Theme = LIGHT) -> None:
        super().__init__(width, height, theme)
        self.set_layout_engine("none")
        self._axes = self.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        self._axes.set_axis_off()

    def put(
        self, image: np.ndarray, left: float, top: float, size: tuple[float, float], **settings: Any
    ) -> None:
        """Adds an image [H, W, C] or [H, W]; an image without colors is gray by default.

        Args:
          image: Image.
          left: Distance from the left edge.
          top: Distance from the top edge.
          size: Width and height.
          **settings: Settings of matplotlib's `imshow`.
        """
        if image.ndim == 3 and image.shape[-1] == 1:
            image = image[..., 0]
        settings = {"cmap": "gray", "interpolation": "auto"} | settings
        edges = left, left + size[0], top + size[1], top
        self._axes.imshow(image, extent=edges, aspect="auto", **settings)

    def write(self, text: str, left: float, top: float, **settings: Any) -> None:
        """Adds a line of text below `top`, from `left` on."""
        settings = dict[str, Any](fontsize=10, color=self.theme.ink, va="top") | settings
        self._axes.text(left, top, text, **settings)


def style(axes: Axes, theme: Theme) -> None:
    """Applies the colors of a theme to axes with data."""
    axes.set_facecolor(theme.paper)
    axes.tick_params(colors=theme.faint, labelsize=11)
    axes.xaxis.label.set_color(theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)


def rescale(values: np.ndarray) -> np.ndarray:
    """Rescales values to the range from 0 to 1, as float32; equal values become 0."""
    values = np.asarray(values, np.float32)
    low, high = values.min(), values.max()
    return (values - low) / (high - low if high > low else np.float32(1))


def label(text: str, max_length: int = 24) -> str:
    """Returns a name for a figure: printable, shortened, and not parsed as mathematics."""
    text = printable(text)
    text = text if len(text) <= max_length else f"{text[: max_length - 1].rstrip()}…"
    return text.replace("$", r"\$")
