"""What each stage of a network makes of an image."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from flax_vision.analysis.report.figures.drawing import (
    LIGHT,
    WIDTH,
    Picture,
    Sheet,
    Theme,
    stretched,
)

_GAP = 0.06
"""Inches between two maps."""
_HEADING = 0.38
"""Inches for what stands above them."""
_ACROSS = 128
"""Units in a row, of stages whose maps are single pixels."""


def feature_maps(
    model: nn.Module,
    variables: Any,
    images: jax.Array | np.ndarray,
    *,
    maps: int = 8,
    theme: Theme = LIGHT,
) -> Picture:
    """Returns the picture of the strongest maps of every named stage, images one below the other.

    The stages are those of the collection `intermediates`. Of each the maps with the greatest
    deviation are shown, those that find most in the image first, each from its least value, dark,
    to its greatest. Where maps are single pixels, as those of fully connected layers, a point is a
    unit.

    Args:
      model: the network.
      variables: of the network.
      images: float32 [N, H, W, C], preprocessed.
      maps: of each stage, at the most.
      theme: its colors.
    """
    return draw(images, stages(model, variables, images), maps, theme)


def stages(
    model: nn.Module, variables: Any, images: jax.Array | np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the output of every named stage, from the first to the last: [N, ...] each.

    Args:
      model: the network.
      variables: of the network.
      images: float32 [N, H, W, C], preprocessed.
    """
    names: list[str] = []

    def apply(variables: Any, images: jax.Array) -> list[jax.Array]:
        _, kept = model.apply(variables, images, mutable=["intermediates"])
        names.extend(kept["intermediates"])  # in their order, which jit would lose
        return [value[0] for value in kept["intermediates"].values()]

    outputs = jax.device_get(jax.jit(apply)(variables, images))
    return dict(zip(names, outputs, strict=True))


def draw(
    images: jax.Array | np.ndarray,
    outputs: Mapping[str, np.ndarray],
    maps: int = 8,
    theme: Theme = LIGHT,
) -> Picture:
    """Returns the picture of what `stages` found.

    Args:
      images: float32 [N, H, W, C].
      outputs: of each stage, [N, H, W, C] or [N, C].
      maps: of each stage, at the most.
      theme: its colors.
    """
    rows = [row for number in range(len(images)) for row in _rows(images, outputs, number, maps)]
    sheet = Sheet(WIDTH, sum(row.height + _HEADING for row in rows), theme)
    top = 0.0
    for row in rows:
        sheet.write(row.title, 0, top + 0.13, fontsize=12.5)
        for place, image in enumerate(row.images):
            left = place * (row.width + _GAP)
            settings = {} if image.shape[-1] == 3 and image.ndim == 3 else {"cmap": row.colors}
            sheet.put(image, left, top + _HEADING, row.width, row.height, **settings)
        top += row.height + _HEADING
    return sheet


class _Row(NamedTuple):
    """What stands side by side.

    Attributes:
      title: above it.
      images: [H, W] or [H, W, C], from 0 to 1.
      width: of each in inches.
      height: the same.
      colors: of images that have none.
    """

    title: str
    images: Sequence[np.ndarray]
    width: float
    height: float
    colors: str = "viridis"


def _rows(
    images: jax.Array | np.ndarray, outputs: Mapping[str, np.ndarray], number: int, maps: int
) -> Iterator[_Row]:
    """Yields an image, and what each stage made of it."""
    image = stretched(np.asarray(images[number]))
    height, width = image.shape[:2]
    inches = (WIDTH + _GAP) / maps - _GAP
    size = f"{height}x{width}"
    yield _Row(f"image, {size}", [image], inches, inches * height / width, "gray")
    for name, output in outputs.items():
        stage = np.asarray(output[number], np.float32)
        if stage.size == stage.shape[-1]:
            units = stage.ravel()
            strip = _strip(units)
            down, across = strip.shape
            across_inches = WIDTH * across / _ACROSS
            tall = max(down * WIDTH / _ACROSS, 0.2)
            yield _Row(f"{name}, {len(units):,} units", [strip], across_inches, tall)
            continue
        strongest = np.argsort(-stage.std(axis=(0, 1)), kind="stable")[:maps]
        height, width, count = stage.shape
        shown = f"{maps} of {count:,}" if count > maps else f"{count}"
        title = f"{name}, {height}x{width}, {shown} maps"
        chosen = [stretched(stage[..., place]) for place in strongest]
        yield _Row(title, chosen, inches, inches * height / width)


def _strip(units: np.ndarray) -> np.ndarray:
    """Returns units [K] as an image, from 0 to 1, with those that the last row lacks masked."""
    across = min(len(units), _ACROSS)
    down = -(-len(units) // across)
    filled = np.pad(stretched(units), (0, down * across - len(units)), constant_values=np.nan)
    return np.ma.masked_invalid(filled.reshape(down, across))
