"""What is tested: a trained network, and the images that it is tested on."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from flax_vision.data.image_set import ImageSet, Report
from flax_vision.data.sources import load_parts
from flax_vision.errors import UserError, unknown
from flax_vision.weights.exported import ModelCard

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes:
      name: of the data set, as in `config.data.name`.
      directory: as in `config.data.directory`.
      validation: share of the training set that is its part for validation.
    """

    name: str
    directory: str
    validation: float


def find_source(path: Path, name: str | None, directory: str | None) -> Source:
    """Returns the data of a run, or others.

    Args:
      path: a run directory, its export, or another export.
      name: of another data set than the run's.
      directory: another than the run's; that of the run is for the run's own set only.

    Raises:
      UserError: no set is named, and there is no run that says which it was trained on.
    """
    data = run_configuration(path).get("data")
    if data is None and name is None:
        raise UserError(
            f"{str(path)!r} has no config.json that says what it was trained on; give --data NAME, "
            "such as --data mnist_5k."
        )
    if data is None or name not in (None, data["name"]):
        own, validation = "", data["validation"] if data else 0.0
    else:
        name, own, validation = data["name"], data["directory"], data["validation"]
    return Source(str(name), own if directory is None else directory, validation)


def run_configuration(path: Path) -> dict[str, Any]:
    """Returns the configuration of the run in a directory, or of the one whose export it is.

    Returns:
      Nested dictionaries; empty for an export outside a run directory.

    Raises:
      UserError: it cannot be read.
    """
    path = path.absolute()
    is_export = path.name == "export" and (path / "model.json").exists()
    file = (path.parent if is_export else path) / "config.json"
    if not file.exists():
        return {}
    try:
        configuration: dict[str, Any] = json.loads(file.read_text())
        Source(**{field.name: configuration["data"][field.name] for field in fields(Source)})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error!r}); mend it.") from error
    return configuration


def load_split(source: Source, split: str, report: Report) -> ImageSet:
    """Reads one part of a data set.

    Raises:
      UserError: the set cannot be had, or the part is empty.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    try:
        parts = load_parts(source.name, source.directory, source.validation, report)
    except UserError as error:
        raise UserError(_as_options(str(error))) from error
    image_set: ImageSet = getattr(parts, split)
    if not len(image_set):
        raise UserError(
            f"{source.name!r} has no {split} images: the share of the training set that chooses "
            f"the best model is {source.validation:g}. Choose --split train or test."
        )
    return image_set


def _as_options(message: str) -> str:
    """Returns an error of the data with this program's options instead of train.py's."""
    message = message.replace("--config.data.name=", "--data ")
    return message.replace("--config.data.directory=", "--directory ")


def check_fit(card: ModelCard, image_set: ImageSet, name: str) -> None:
    """Raises a UserError where a network cannot tell the classes, or take the channels, of a set.

    Args:
      card: of the network.
      image_set: the images.
      name: of the data set.
    """
    known, given = len(card.class_names), len(image_set.class_names)
    if known != given:
        raise UserError(
            f"{card.name} tells {known:,} classes apart, and {name!r} has {given:,}; give a set "
            "with the same classes."
        )
    ours, theirs = (
        card.preprocessing.channels or channels if channels == 1 else channels
        for channels in (card.image_shape[-1], image_set.images.shape[-1])
    )
    if ours != theirs:
        raise UserError(
            f"{card.name} was trained on images of {ours} channels, and those of {name!r} have "
            f"{theirs}; give a set of the same kind."
        )


def other_names(card: ModelCard, image_set: ImageSet, name: str) -> str:
    """Returns a warning where the classes of a set have other names; else nothing."""
    for index, (ours, theirs) in enumerate(
        zip(card.class_names, image_set.class_names, strict=True)
    ):
        if ours != theirs:
            return (
                f"class {index} is {ours!r} to the network and {theirs!r} in {name!r}; classes are "
                "compared by their numbers"
            )
    return ""
