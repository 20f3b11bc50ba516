"""Draws the feature maps of a model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from flax_vision.analysis.report.figures.drawing import LIGHT, WIDTH, Picture, Sheet, Theme, rescale

_GAP = 0.06
"""Gap between two maps in inches."""
_HEADING = 0.38
"""Height of the title above them in inches."""
_UNITS_PER_ROW = 128
"""Number of units in a row, for stages whose maps are single pixels."""


def feature_maps(
    model: nn.Module,
    variables: Any,
    images: jax.Array | np.ndarray,
    *,
    maps: int = 8,
    theme: Theme = LIGHT,
) -> Picture:
    """Draws the strongest maps of every stage in the collection `intermediates`.

    A stage's maps are sorted by their standard deviation, largest first. Each map spans from its
    smallest value (dark) to its largest. A point is a unit where maps are single pixels, such as in
    fully connected layers.

    Args:
      model: The model.
      variables: Variables of the model.
      images: Preprocessed images, float32 [N, H, W, C].
      maps: Largest number of maps of each stage.
      theme: Colors.
    """
    return draw(images, stages(model, variables, images), maps, theme)


def stages(
    model: nn.Module, variables: Any, images: jax.Array | np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the output of every stage, from the first to the last: [N, ...] each.

    For a model that sows no `intermediates`, the stages are its layers.

    Args:
      model: The model.
      variables: Variables of the model.
      images: Preprocessed images, float32 [N, H, W, C].
    """
    names: list[str] = []

    def apply(variables: Any, images: jax.Array) -> list[jax.Array]:
        sown = _sown(model, variables, images, capture_intermediates=False)
        if not sown:
            sown = _sown(model, variables, images, capture_intermediates=_is_layer)
        names.extend(sown)  # in their order, which jit would lose
        return list(sown.values())

    outputs = jax.device_get(jax.jit(apply)(variables, images))
    return dict(zip(names, outputs, strict=True))


def _sown(model: nn.Module, variables: Any, images: jax.Array, **options: Any) -> dict[str, Any]:
    """Returns maps [N, H, W, C] and units [N, C] of the collection `intermediates`."""
    _, state = model.apply(variables, images, mutable=["intermediates"], **options)
    sown = {}
    for name, value in state.get("intermediates", {}).items():
        calls = value.get("__call__") if isinstance(value, Mapping) else value
        if isinstance(calls, tuple) and getattr(calls[0], "ndim", 0) in (2, 4):
            sown[name] = calls[0]
    return sown


def _is_layer(module: nn.Module, method: str) -> bool:
    """Returns whether a call is one of the model's own layers."""
    return len(module.path) == 1 and method == "__call__"


def draw(
    images: jax.Array | np.ndarray,
    outputs: Mapping[str, np.ndarray],
    maps: int = 8,
    theme: Theme = LIGHT,
) -> Picture:
    """Draws the outputs of `stages`.

    Args:
      images: Preprocessed images, float32 [N, H, W, C].
      outputs: Output of each stage, [N, H, W, C] or [N, C].
      maps: Largest number of maps of each stage.
      theme: Colors.
    """
    rows = [row for number in range(len(images)) for row in _rows(images, outputs, number, maps)]
    sheet = Sheet(WIDTH, sum(row.height + _HEADING for row in rows), theme)
    top = 0.0
    for row in rows:
        sheet.write(row.title, 0, top + 0.13, fontsize=12.5)
        for index, image in enumerate(row.images):
            left = index * (row.width + _GAP)
            sheet.put(image, left, top + _HEADING, (row.width, row.height), cmap=row.colors)
        top += row.height + _HEADING
    return sheet


class _Row(NamedTuple):
    """A row of images of the same size.

    Attributes:
      title: Line above the row.
      images: Images [H, W] or [H, W, C], from 0 to 1.
      width: Width of each image in inches.
      height: Height of each image in inches.
      colors: Color map of images without colors.
    """

    title: str
    images: Sequence[np.ndarray]
    width: float
    height: float
    colors: str = "viridis"


def _rows(
    images: jax.Array | np.ndarray, outputs: Mapping[str, np.ndarray], number: int, maps: int
) -> Iterator[_Row]:
    """Yields an image, and its maps in each stage."""
    image = rescale(np.asarray(images[number]))
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
            across_inches = WIDTH * across / _UNITS_PER_ROW
            tall = max(down * WIDTH / _UNITS_PER_ROW, 0.2)
            yield _Row(f"{name}, {len(units):,} units", [strip], across_inches, tall)
            continue
        strongest = np.argsort(-stage.std(axis=(0, 1)), kind="stable")[:maps]
        height, width, count = stage.shape
        shown = f"{maps} of {count:,}" if count > maps else f"{count}"
        title = f"{name}, {height}x{width}, {shown} maps"
        chosen = [rescale(stage[..., index]) for index in strongest]
        yield _Row(title, chosen, inches, inches * height / width)


def _strip(units: np.ndarray) -> np.ndarray:
    """Returns units [K] as an image, from 0 to 1; missing units of the last row are masked."""
    across = min(len(units), _UNITS_PER_ROW)
    down = -(-len(units) // across)
    filled = np.pad(rescale(units), (0, down * across - len(units)), constant_values=np.nan)
    return np.ma.masked_invalid(filled.reshape(down, across))
