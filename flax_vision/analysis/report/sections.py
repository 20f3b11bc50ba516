"""Builds the sections of a run's report."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from flax_vision.analysis.report.figures import curves
from flax_vision.analysis.report.figures.confusion import confusion
from flax_vision.analysis.report.figures.curves import series
from flax_vision.analysis.report.figures.feature_maps import draw, stages
from flax_vision.analysis.report.figures.filters import filters, first_kernels
from flax_vision.analysis.report.html import Section, figure, table
from flax_vision.analysis.report.predicted_images import PredictedImages
from flax_vision.evaluation.metrics import confusion_matrix, confusion_table
from flax_vision.models.summary import Row, totals
from flax_vision.text import counted
from flax_vision.weights.run_files import Records
from flax_vision.weights.saved_model import ModelMetadata

_SHOWN = 3
"""Number of images with feature maps."""


def training(
    records: Records, config: Mapping[str, Any], image_counts: Mapping[str, int]
) -> Section:
    """Returns the training curves of a run.

    Args:
      records: Records of its epochs, and its result.
      config: Its configuration, as nested dictionaries.
      image_counts: Number of images of each split; empty if unknown.
    """
    if not any("epoch" in record for record in records):
        return Section("Training", "No epoch is finished yet.")
    drawings = [
        ("loss", curves.loss, f"Loss: {_ranges(records, 'loss', '.4f')}"),
        ("accuracy", curves.accuracy, f"Top-1 accuracy: {_ranges(records, 'top1', '.2%')}"),
        ("learning-rate", curves.learning_rate, f"Learning rate by epoch: {_rates(records)}"),
    ]
    figures = [figure(name, partial(plot, records), text) for name, plot, text in drawings]
    text = _about_losses(config, image_counts)
    text += " The best epoch is the one that was tested and exported."
    return Section("Training", text, figures)


def _about_losses(config: Mapping[str, Any], image_counts: Mapping[str, int]) -> str:
    """Returns sentences about the losses of a run and their images.

    Args:
      config: Configuration of the run, as nested dictionaries.
      image_counts: Number of images of each split; empty if unknown.
    """
    loss = config.get("loss", {})
    name = loss.get("name", "loss").replace("_", "-")
    train, validation = (image_counts.get(split) for split in ("train", "validation"))
    left_out = (train or 0) % (config.get("batch_size") or 1)
    trained = "the images" if train is None else counted(train - left_out, "image")
    sentences = [
        f"The training loss is the mean {name} over {trained} of an epoch, while the parameters "
        "change, with augmentation and dropout.",
        "Neither weight decay nor auxiliary heads are part of it.",
    ]
    if loss.get("class_weights", "none") != "none":
        sentences.append("Class weights are not part of it either.")
    if loss.get("label_smoothing"):
        sentences.append("Only the training loss has smoothed labels.")
    if left_out:
        sentences.append(
            f"Each epoch leaves out {counted(left_out, 'image')} of {train:,}, because a last "
            f"batch would have fewer than {config['batch_size']:,}."
        )
    if validation != 0:
        images = "all" if validation is None else f"{validation:,}"
        name = "cross-entropy" if name == "focal" else name
        sentences.append(
            f"The validation loss is the mean {name} over {images} validation images at the end "
            "of an epoch, without augmentation and dropout."
        )
    return " ".join(sentences)


def confusions(tested: PredictedImages, class_names: Sequence[str]) -> Section:
    """Returns the confusion matrix of the images of a split."""
    labels, predicted = tested.images.labels, tested.predictions.predicted
    read = predicted >= 0
    matrix = confusion_matrix(labels[read], predicted[read], len(class_names))
    correct, count = int(np.trace(matrix)), int(matrix.sum())
    alternative = (
        f"Confusion matrix of {count:,} {tested.kind} images, {correct:,} of them correct."
    )
    drawn = figure("confusion", partial(confusion, matrix, class_names), alternative)
    text = "Rows are true classes, columns are predicted classes. Blue is correct, orange is "
    text += "wrong. A deeper color means a larger share of the row."
    rows = confusion_table(matrix, class_names)
    title = "In numbers" if "predicted" not in (rows or [{}])[0] else "The most frequent confusions"
    return Section("Confusion", text, [drawn], table(rows, title) if rows else "")


def first_layer(variables: Mapping[str, Any]) -> Section:
    """Returns the kernels of the first layer."""
    columns, height, width, channels, count = first_kernels(variables).shape
    kinds = f"{columns * count} kernels of {height}x{width} for {counted(channels, 'channel')}"
    drawn = figure("filters", partial(filters, variables), f"The {kinds} of the first layer.")
    note = " The two columns take the same images and are shown separately." if columns > 1 else ""
    text = f"{kinds}, each from its smallest weight (dark) to its largest.{note}"
    return Section("First layer", text, [drawn])


def feature_maps(
    metadata: ModelMetadata, model: nn.Module, variables: Mapping[str, Any], tested: PredictedImages
) -> Section:
    """Returns the feature maps of the first test images of some classes."""
    labels, read = tested.images.labels, np.flatnonzero(tested.predictions.predicted >= 0)
    _, first = np.unique(labels[read], return_index=True)
    indices = read[np.sort(first)[:_SHOWN]]
    files = [f", {name}" for name in tested.file_names(indices)] or [""] * len(indices)
    images = np.asarray(metadata.preprocessing(tested.pixels(indices)))
    outputs = stages(model, variables, images)
    figures = []
    for number, index in enumerate(indices):
        name = metadata.class_names[labels[index]]
        only = slice(number, number + 1)
        drawn = partial(draw, images[only], {key: x[only] for key, x in outputs.items()})
        alternative = f"Feature maps of {', '.join(outputs)} for an image of class {name}."
        caption = f"class {name}{files[number]}"
        figures.append(figure(f"feature-maps-{number + 1}", drawn, alternative, caption))
    text = "The maps of each stage with the largest standard deviation. Each map spans from its "
    text += "smallest value (dark) to its largest. A point is a unit where maps are single pixels."
    return Section("Feature maps", text, figures)


def layers(rows: Sequence[Row]) -> Section:
    """Returns the table of the model's layers."""
    sums = totals(list(rows))
    text = "Multiply-adds of convolutions and fully connected layers, for one image."
    content = table([row.to_dict() for row in [*rows, *sums]], totals=len(sums))
    return Section("Model", text, tables=content)


def configuration(
    config: Mapping[str, Any], launches: Sequence[Mapping[str, Any]], records: Records
) -> Section:
    """Returns the configuration, launches, versions and times of the run."""
    keys = flatten_dict(dict(config), sep=".")
    tables = [table([{"key": k, "value": json.dumps(v)} for k, v in keys.items()], "Configuration")]
    if launches:
        times = [
            {"started": x["time"], "host": x["host"], "devices": ", ".join(x["devices"])}
            | {"command": " ".join(x["command"])}
            for x in launches
        ]
        last = launches[-1]
        versions = {"python": last["python"], **last["libraries"]}
        versions["git revision"] = last.get("git_revision") or "none"
        versions["platform"] = last["platform"]
        tables += [table(times, "Launches")]
        tables += [table([{"library": k, "version": v} for k, v in versions.items()], "Versions")]
    epochs = [_epoch_row(record) for record in records if "epoch" in record]
    if epochs:
        tables.append(table(epochs, "Times"))
    return Section("Run", "Configuration, versions and times of the run.", tables="".join(tables))


def _epoch_row(record: Mapping[str, Any]) -> dict[str, Any]:
    speed, wait = record.get("images_per_second"), record.get("input_wait_fraction")
    return {
        "epoch": record["epoch"],
        "seconds": float(record["epoch_seconds"]),
        "images/s": float("nan") if speed is None else float(speed),
        "input wait, %": float("nan") if wait is None else 100 * wait,
    }


def _ranges(records: Records, name: str, form: str) -> str:
    """Returns the first and last values of the curves."""
    ranges = []
    for split, title in curves.SPLITS.items():
        if values := series(records, f"{split}/{name}")[1]:
            ranges.append(f"{title} from {values[0]:{form}} to {values[-1]:{form}}")
    return f"{'; '.join(ranges) or 'none'}."


def _rates(records: Records) -> str:
    rates = series(records, "learning_rate")[1]
    return f"from {rates[0]:.3g} to {rates[-1]:.3g}." if rates else "none."
