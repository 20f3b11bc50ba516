"""Draws errors by the share of rejected images, see `analysis.rejection`."""

from collections.abc import Mapping

from matplotlib.ticker import PercentFormatter

from flax_vision.analysis.rejection import RejectionCurve
from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Theme, label, style


def rejection(
    curves: Mapping[str, RejectionCurve], error: float = 0.005, theme: Theme = LIGHT
) -> Picture:
    """Draws the error of models by the share of rejected images.

    A line marks the error of figure 10 of LeCun et al. 1998. The legend has the share to reject for
    this error.

    Args:
      curves: Curves by the names of the models.
      error: Error to mark.
      theme: Colors.
    """
    picture = Picture(0.8 * WIDTH, 0.56 * WIDTH, theme)
    axes = picture.add_subplot()
    style(axes, theme)
    axes.grid(color=theme.grid, lw=0.8)
    axes.set_axisbelow(True)
    for name, curve in curves.items():
        share = f"{curve.rejected_for(error):.1%} rejected"
        axes.step(curve.rejected, curve.errors, where="post", lw=2, label=f"{label(name)}: {share}")
    axes.axhline(error, color=theme.faint, lw=1, ls=":", label=f"error of {error:.1%}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=None))
    # Beyond the shares of interest the error is 0.
    end = max(curve.rejected_for(0) for curve in curves.values())
    axes.set_xlim(0, min(1.0, 1.05 * end) or 1.0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("rejected images", fontsize=12)
    axes.set_title("error of the other images", loc="left", color=theme.ink, fontweight="bold")
    axes.legend(frameon=False, labelcolor=theme.ink, fontsize=11)
    return picture
