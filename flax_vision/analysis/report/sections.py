"""The sections of a run's report."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from flax_vision.analysis.report.figures import curves
from flax_vision.analysis.report.figures.confusion import confusion
from flax_vision.analysis.report.figures.curves import series
from flax_vision.analysis.report.figures.drawing import Picture, Theme
from flax_vision.analysis.report.figures.feature_maps import draw, stages
from flax_vision.analysis.report.figures.filters import filters, first_kernels
from flax_vision.analysis.report.figures.mistakes import (
    confidence_text,
    mistakes,
    most_confident,
)
from flax_vision.analysis.report.html import THEMES, Figure, Section, figure, table
from flax_vision.data.dataset import Dataset
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.evaluation.evaluator import Predictions
from flax_vision.evaluation.metrics import confusion_matrix, confusion_table
from flax_vision.models.summary import Row, totals
from flax_vision.text import counted
from flax_vision.weights.run_files import Records
from flax_vision.weights.saved_model import ModelMetadata

_SHOWN = 3
"""Images of which feature maps are shown."""


@dataclass(frozen=True)
class Tested:
    """Test images, and what a network takes them for.

    Attributes:
      images: the images.
      predictions: Predicted classes of the images.
    """

    images: Dataset
    predictions: Predictions

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """Returns the images at `places` as the network's preprocessing gets them, uint8."""
        ((images, _),) = self.images.views([places], None)
        return np.asarray(images)

    def file_names(self, places: np.ndarray) -> list[str]:
        """Returns the names of the photographs at `places`; none for images in memory."""
        images = self.images
        if not isinstance(images, ImageFileDataset):
            return []
        return [images.files.name(int(images.indices[place])) for place in places]


def training(
    records: Records, config: Mapping[str, Any], image_counts: Mapping[str, int]
) -> Section:
    """Returns the curves of a run.

    Args:
      records: Records of its epochs, and its result.
      config: Its configuration, as nested dictionaries.
      image_counts: Numbers of images of its parts; empty if unknown.
    """
    if not any("epoch" in record for record in records):
        return Section("Training", "No epoch is finished yet.")
    figures = [
        _figure("loss", partial(curves.loss, records), f"Loss: {_course(records, 'loss', '.4f')}"),
        _figure(
            "accuracy",
            partial(curves.accuracy, records),
            f"Top-1 accuracy: {_course(records, 'top1', '.2%')}",
        ),
        _figure(
            "learning-rate",
            partial(curves.learning_rate, records),
            f"Learning rate by epoch: {_rates(records)}",
        ),
    ]
    text = _about_losses(config, image_counts)
    text += " The best epoch is the one that was tested and exported."
    return Section("Training", text, figures)


def _about_losses(config: Mapping[str, Any], image_counts: Mapping[str, int]) -> str:
    """Returns sentences about the losses of a run and their images.

    Args:
      config: Configuration of the run, as nested dictionaries.
      image_counts: Numbers of images of the parts; empty if unknown.
    """
    name = config.get("loss", {}).get("name", "loss").replace("_", "-")
    train, validation = (image_counts.get(part) for part in ("train", "validation"))
    left_out = (train or 0) % (config.get("batch_size") or 1)
    seen = "the images" if train is None else counted(train - left_out, "image")
    sentences = [
        f"The training loss is the mean {name} over {seen} of an epoch, while the parameters "
        "change, with augmentation and dropout.",
        "Neither weight decay nor auxiliary heads are part of it.",
    ]
    if left_out:
        sentences.append(
            f"Each epoch leaves out {counted(left_out, 'image')} of {train:,}, because a last "
            f"batch would have fewer than {config['batch_size']:,}."
        )
    if validation != 0:
        images = "all" if validation is None else f"{validation:,}"
        sentences.append(
            f"The validation loss is the mean {name} over {images} validation images at the end "
            "of an epoch, without augmentation and dropout."
        )
    return " ".join(sentences)


def confusions(tested: Tested, class_names: Sequence[str]) -> Section:
    """Returns which classes were taken for which."""
    labels, predicted = tested.images.labels, tested.predictions.predicted
    read = predicted >= 0
    matrix = confusion_matrix(labels[read], predicted[read], len(class_names))
    right, count = int(np.trace(matrix)), int(matrix.sum())
    alternative = f"Confusion matrix of {count:,} test images, {right:,} of them right."
    drawn = _figure("confusion", lambda theme: confusion(matrix, class_names, theme), alternative)
    text = "Rows are true classes, columns are predicted classes. Blue is right, orange is wrong. "
    text += "A deeper color means a larger share of the row."
    rows = confusion_table(matrix, class_names)
    title = "In numbers" if "predicted" not in (rows or [{}])[0] else "The most frequent confusions"
    return Section("Confusion", text, [drawn], table(rows, title) if rows else "")


def most_confident_mistakes(tested: Tested, class_names: Sequence[str]) -> Section:
    """Returns the images that the network was surest of, and wrong about."""
    labels, found = tested.images.labels, tested.predictions
    places = most_confident(labels, found.predicted, found.confidence)
    title = "Most confident mistakes"
    if not len(places):
        return Section(title, "All test images were predicted correctly.")
    images, names = tested.pixels(places), tested.file_names(places)
    of = (labels[places], found.predicted[places], found.confidence[places])
    rows = [
        {
            "predicted": class_names[predicted],
            "is": class_names[true],
            "confidence": confidence_text(confidence),
            "test image": name,
        }
        for true, predicted, confidence, name in zip(*of, names or places.tolist(), strict=True)
    ]
    pairs = [f"predicted {x['predicted']}, is {x['is']} ({x['confidence']} sure)" for x in rows]
    drawn = _figure(
        "mistakes",
        lambda theme: mistakes(images, *of, class_names, theme, names),
        f"Test images: {'; '.join(pairs)}.",
    )
    text = "Above each test image are the predicted class, the true class and the probability of "
    text += "the predicted class. Some labels may be wrong."
    return Section(title, text, [drawn], table(rows))


def first_layer(variables: Mapping[str, Any]) -> Section:
    """Returns the kernels of the first layer."""
    columns, height, width, channels, count = first_kernels(variables).shape
    kinds = f"{columns * count} kernels of {height}x{width} for {counted(channels, 'channel')}"
    drawn = _figure(
        "filters", lambda theme: filters(variables, theme), f"The {kinds} of the first layer."
    )
    apart = " The two columns, which see the same images, stand apart." if columns > 1 else ""
    text = f"{kinds}, each from its least weight (dark) to its greatest.{apart}"
    return Section("First layer", text, [drawn])


def feature_maps(
    metadata: ModelMetadata, model: nn.Module, variables: Mapping[str, Any], tested: Tested
) -> Section:
    """Returns what the stages make of the first test images of some classes."""
    labels, read = tested.images.labels, np.flatnonzero(tested.predictions.predicted >= 0)
    _, first = np.unique(labels[read], return_index=True)
    places = read[np.sort(first)[:_SHOWN]]
    files = [f", {name}" for name in tested.file_names(places)] or [""] * len(places)
    images = np.asarray(metadata.preprocessing(tested.pixels(places)))
    outputs = stages(model, variables, images)
    figures = []
    for number, place in enumerate(places):
        name = metadata.class_names[labels[place]]
        only = slice(number, number + 1)

        def drawn(theme: Theme, only: slice = only) -> Picture:
            return draw(images[only], {key: x[only] for key, x in outputs.items()}, theme=theme)

        alternative = f"What the stages {', '.join(outputs)} make of an image of class {name}."
        caption = f"class {name}{files[number]}"
        figures.append(_figure(f"feature-maps-{number + 1}", drawn, alternative, caption))
    text = "Of each stage the maps with the greatest deviation, each from its least value (dark) "
    text += "to its greatest; where maps are single pixels, a point is a unit."
    return Section("Feature maps", text, figures)


def network(rows: Sequence[Row]) -> Section:
    """Returns the table of the network's layers."""
    sums = totals(list(rows))
    text = "Multiply-adds are those of convolutions and fully connected layers, for one image."
    content = table([row.to_dict() for row in [*rows, *sums]], totals=len(sums))
    return Section("Network", text, tables=content)


def configuration(
    config: Mapping[str, Any], starts: Sequence[Mapping[str, Any]], records: Records
) -> Section:
    """Returns what the run was made with, and how long it took."""
    keys = flatten_dict(dict(config), sep=".")
    tables = [table([{"key": k, "value": json.dumps(v)} for k, v in keys.items()], "Configuration")]
    if starts:
        times = [
            {"started": x["time"], "host": x["host"], "devices": ", ".join(x["devices"])}
            | {"command": " ".join(x["command"])}
            for x in starts
        ]
        last = starts[-1]
        versions = {"python": last["python"], **last["libraries"]}
        versions["git revision"] = last.get("git_revision") or "none"
        versions["platform"] = last["platform"]
        tables += [table(times, "Starts")]
        tables += [table([{"of": k, "version": v} for k, v in versions.items()], "Versions")]
    epochs = [_pace(record) for record in records if "epoch" in record]
    if epochs:
        tables.append(table(epochs, "Times"))
    return Section(
        "Trainer", "What it was made with, and how long it took.", tables="".join(tables)
    )


def _pace(record: Mapping[str, Any]) -> dict[str, Any]:
    speed, waiting = record.get("images_per_second"), record.get("input_wait_fraction")
    return {
        "epoch": record["epoch"],
        "seconds": float(record["epoch_seconds"]),
        "images/s": float("nan") if speed is None else float(speed),
        "waiting for images, %": float("nan") if waiting is None else 100 * waiting,
    }


def _figure(
    name: str, drawn: Callable[[Theme], Picture], alternative: str, caption: str = ""
) -> Figure:
    return figure(name, [drawn(theme) for theme in THEMES.values()], alternative, caption)


def _course(records: Records, name: str, form: str) -> str:
    """Returns from where to where the curves of a picture go."""
    parts = []
    for part, shown in curves.PARTS.items():
        values = series(records, f"{part}/{name}")[1]
        if values:
            parts.append(f"{shown} from {values[0]:{form}} to {values[-1]:{form}}")
    return f"{'; '.join(parts) or 'none'}."


def _rates(records: Records) -> str:
    rates = series(records, "learning_rate")[1]
    return f"from {rates[0]:.3g} to {rates[-1]:.3g}." if rates else "none."
