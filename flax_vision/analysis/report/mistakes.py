"""Builds the section of a report with all mistakes of a model."""

import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from flax_vision.analysis.report.figures.mistakes import confidence_text, mistakes, most_confident
from flax_vision.analysis.report.html import Cell, Section, Thumbnail, figure, table
from flax_vision.analysis.report.predicted_images import PredictedImages
from flax_vision.text import counted

MAX_PICTURES, MAX_ROWS = 200, 50_000
"""Largest numbers of thumbnails and of rows in the table."""

_DRAWN = 12
"""Number of images in the figure."""

_SIDE = 128
"""Largest side of a thumbnail in pixels; the page shows it at half the size."""


def all_mistakes(tested: PredictedImages, class_names: Sequence[str]) -> Section:
    """Returns the figure of the most confident mistakes, and the table of all.

    Args:
      tested: Images with their predictions.
      class_names: Names of the classes.
    """
    predictions = tested.predictions
    columns = tested.images.labels, predictions.predicted, predictions.confidence
    indices = most_confident(*columns, len(tested.images))
    images = int((predictions.predicted >= 0).sum())
    if not len(indices):
        return Section("Mistakes", f"All {tested.kind} images were predicted correctly.")
    shown = indices[:MAX_ROWS]
    count = f"{len(indices):,} of {counted(images, f'{tested.kind} image')}"
    text = (
        f"{count} are predicted incorrectly. The figure shows the {min(_DRAWN, len(indices))} most "
        f"confident mistakes. The table shows {_extent(len(indices), tested.split)}, the most "
        "confident first. A click on a heading sorts the table. Some of the labels may be wrong."
    )
    tables = table(_rows(tested, shown, class_names), is_sortable=True, sorted_by="confidence")
    drawn = _figure(tested, indices[:_DRAWN], class_names)
    return Section("Mistakes", text, [drawn], tables)


def _extent(count: int, split: str) -> str:
    """Describes which of the mistakes are in the table."""
    parts = "all mistakes"
    if count > MAX_ROWS:
        parts = f"{MAX_ROWS:,} mistakes (flax-vision evaluate DIR --split {split} --predictions "
        parts += "FILE.csv writes all)"
    return parts + (f", {MAX_PICTURES} of them with pictures" if count > MAX_PICTURES else "")


def _figure(tested: PredictedImages, indices: np.ndarray, class_names: Sequence[str]) -> Any:
    """Returns the figure of some mistakes."""
    images, names = tested.pixels(indices), tested.file_names(indices)
    columns = tested.images.labels, tested.predictions.predicted, tested.predictions.confidence
    true, predicted, confidence = (column[indices] for column in columns)
    pairs = [
        f"predicted {class_names[predicted[i]]}, is {class_names[true[i]]} "
        f"({confidence_text(confidence[i])} sure)"
        for i in range(len(indices))
    ]
    draw = partial(mistakes, images, true, predicted, confidence, class_names, file_names=names)
    return figure("mistakes", draw, f"{tested.kind.capitalize()} images: {'; '.join(pairs)}.")


def _rows(
    tested: PredictedImages, indices: np.ndarray, class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns the rows of the table; the first ones have pictures."""
    pixels = tested.pixels(indices[:MAX_PICTURES])
    names = tested.file_names(indices)
    rows = []
    for row, index in enumerate(indices.tolist()):
        label = class_names[tested.images.labels[index]]
        confidence = float(tested.predictions.confidence[index])
        picture = thumbnail(pixels[row], f"an image of class {label}") if row < len(pixels) else ""
        values: dict[str, Any] = {
            "image": picture,
            "label": label,
            "prediction": class_names[tested.predictions.predicted[index]],
            "confidence": Cell(confidence_text(confidence), confidence),
        }
        rows.append(values | ({"path": names[row]} if names else {"index": index}))
    return rows


def thumbnail(pixels: np.ndarray, alternative: str) -> Thumbnail:
    """Returns a small picture of an image, exact if the image is small.

    Args:
      pixels: uint8 [H, W, C].
      alternative: Alternative text.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    is_small = max(image.size) <= _SIDE // 2
    image.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    form = "png" if is_small else "jpeg"
    image.save(file, form)
    scale = _SIDE / 2 / max(image.size)
    width, height = (max(1, round(scale * side)) for side in image.size)
    return Thumbnail(file.getvalue(), f"image/{form}", alternative, width, height)
