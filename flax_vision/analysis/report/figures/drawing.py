"""What all pictures share: matplotlib, their size, colors and letters, on light and dark pages.

No picture touches pyplot: each is a figure of its own, which a notebook shows where it is the last
value of a cell, and `savefig` writes to a file.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from flax_vision.text import printable

__all__ = [
    "DARK",
    "LIGHT",
    "WIDTH",
    "Axes",
    "LinearSegmentedColormap",
    "MaxNLocator",
    "Patch",
    "PercentFormatter",
    "Picture",
    "PowerNorm",
    "Sheet",
    "Theme",
    "label",
    "stretched",
    "style",
]

WIDTH = 6.4
"""Inches of a picture: as wide as a phone at the letters' smallest legible size."""

_DPI = 150


@dataclass(frozen=True)
class Theme:
    """The colors of a picture.

    Attributes:
      paper: behind everything.
      ink: of letters.
      faint: of what matters less.
      grid: of lines that help the eye.
      first: of the most important data.
      second: of what is compared with it.
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
    """A figure that shows itself in a notebook, whatever matplotlib's backend is."""

    def __init__(self, width: float, height: float, theme: Theme = LIGHT) -> None:
        super().__init__(figsize=(width, height), dpi=_DPI, facecolor=theme.paper)
        self.set_layout_engine("constrained")
        self.theme = theme
        FigureCanvasAgg(self)

    def png(self) -> bytes:
        """Returns the picture as the content of a PNG file."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()

    def savefig(self, *arguments: Any, **settings: Any) -> None:
        """Writes it to a file, as matplotlib's figures do."""
        with warnings.catch_warnings():
            # Names of classes may be in letters that matplotlib's own font has not.
            warnings.filterwarnings("ignore", "Glyph .* missing from")
            super().savefig(*arguments, **settings)

    def _repr_png_(self) -> bytes:
        return self.png()


class Sheet(Picture):
    """A picture of images that stand anywhere, in inches from the top left corner."""

    def __init__(self, width: float, height: float, theme: Theme = LIGHT) -> None:
        super().__init__(width, height, theme)
        self.set_layout_engine("none")
        self._axes = self.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        self._axes.set_axis_off()

    def put(
        self,
        image: np.ndarray,
        left: float,
        top: float,
        width: float,
        height: float,
        **settings: Any,
    ) -> None:
        """Shows an image [H, W, C] or [H, W]; one without colors from black to white."""
        if image.ndim == 3 and image.shape[-1] == 1:
            image = image[..., 0]
        settings = {"cmap": "gray", "interpolation": "auto"} | settings
        edges = left, left + width, top + height, top
        self._axes.imshow(image, extent=edges, aspect="auto", **settings)

    def write(self, text: str, left: float, top: float, **settings: Any) -> None:
        """Writes a line below `top`, from `left` on."""
        settings = dict[str, Any](fontsize=10, color=self.theme.ink, va="top") | settings
        self._axes.text(left, top, text, **settings)


def style(axes: Axes, theme: Theme) -> None:
    """Gives axes with data the colors of a theme."""
    axes.set_facecolor(theme.paper)
    axes.tick_params(colors=theme.faint, labelsize=11)
    axes.xaxis.label.set_color(theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)


def stretched(values: np.ndarray) -> np.ndarray:
    """Returns values from their least to their greatest as float32 from 0 to 1; all equal as 0."""
    values = np.asarray(values, np.float32)
    least, greatest = values.min(), values.max()
    return (values - least) / (greatest - least if greatest > least else np.float32(1))


def label(text: str, most: int = 24) -> str:
    """Returns a name for a picture: printable, not too long, and not read as mathematics."""
    text = printable(text)
    text = text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
    return text.replace("$", r"\$")
