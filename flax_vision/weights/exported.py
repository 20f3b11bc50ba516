"""The export directory: a network with its parameters and all that is needed to use it."""

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax.sharding import Mesh

from flax_vision import checkpoints
from flax_vision.counts import counted
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.view import View
from flax_vision.errors import UserError
from flax_vision.models.registry import create_model
from flax_vision.weights.arrays import check_finite, differences

_FORMAT = 1
_CARD = "model.json"
_VARIABLES = "variables"
_REASON = 200
"""Letters of Orbax's reason that an error gives."""


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What describes a trained network besides its parameters.

    Attributes:
      name: of the network, as in `create_model`.
      options: its options, as in `create_model`.
      class_names: the name of each class, in the order of the logits.
      image_shape: height, width and channels of the images that it was trained on.
      preprocessing: from their pixels to what the network takes.
      metrics: what it reached, for example `"test/top1"`.
      view: how photographs become such images; None for small images, which are taken whole.
    """

    name: str
    options: Mapping[str, Any]
    class_names: Sequence[str]
    image_shape: Sequence[int]
    preprocessing: Preprocessing
    metrics: Mapping[str, float]
    view: View | None = None

    def create_model(self, mesh: Mesh | None = None) -> nn.Module:
        """Returns the network, without its parameters; with a mesh, divided as that allows."""
        classes = len(self.class_names)
        return create_model(self.name, num_classes=classes, mesh=mesh, **self.options)

    @property
    def seen_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what the network takes, which preprocessing makes."""
        images = jax.ShapeDtypeStruct((1, *self.image_shape), "uint8")
        _, height, width, channels = jax.eval_shape(self.preprocessing, images).shape
        return height, width, channels

    def to_json(self) -> str:
        """Returns it as the JSON that `load_card` reads."""
        return json.dumps({"format": _FORMAT, **dataclasses.asdict(self)}, indent=2) + "\n"


def save(path: Path, card: ModelCard, variables: Any) -> None:
    """Writes an export directory; one that stood there before is replaced by the whole new one."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        checkpoints.save_tree(unfinished / _VARIABLES, variables)
        (unfinished / _CARD).write_text(card.to_json())
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_card(path: str | Path) -> ModelCard:
    """Returns the description in an export directory, or in a run directory that has one.

    Raises:
      UserError: there is none, or it is of another format.
    """
    return read_card(_export_directory(path) / _CARD, "export the model again")


def read_card(file: Path, hint: str) -> ModelCard:
    """Returns the description of a model in a JSON file.

    Args:
      file: The file.
      hint: Advice for a damaged file.

    Raises:
      UserError: The file cannot be read, is damaged or is of another format.
    """
    try:
        content = json.loads(file.read_text())
        if (form := content.pop("format")) != _FORMAT:
            raise UserError(
                f"{file} is of format {form!r}, which another version of flax_vision wrote, and "
                f"this one reads {_FORMAT}; use that version, or export or import the model again."
            )
        preprocessing = Preprocessing(**content.pop("preprocessing"))
        view = content.pop("view", None)
        if view is not None:
            tuples = {name: tuple(view[name]) for name in ("scale", "area", "aspect")}
            view = View(**{**view, **tuples})
        return ModelCard(preprocessing=preprocessing, view=view, **content)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error}); {hint}.") from error


class Export(NamedTuple):
    """What training or an import left behind.

    Attributes:
      card: the description.
      model: the network.
      variables: its parameters and statistics, on the first device.
    """

    card: ModelCard
    model: nn.Module
    variables: Any


def load_export(path: str | Path) -> Export:
    """Returns all that is in an export directory, or in that of a run directory.

    Raises:
      UserError: there is none, it is damaged, or its parameters are not those of the network that
        is described, or not finite.
    """
    card, directory = load_card(path), _export_directory(path)
    file, hint = directory / _CARD, "export the model again"
    model, expected = describe_model(card, file, hint)
    if not (directory / _VARIABLES).is_dir():
        raise UserError(
            f"{directory} has no {_VARIABLES}/ beside its {_CARD}; export the model again."
        )
    try:
        variables = checkpoints.load_tree(directory / _VARIABLES)
    except Exception as error:  # Orbax raises anything for damaged files, over many lines
        reason = str(error).strip().splitlines()[0][:_REASON]
        raise UserError(
            f"{directory / _VARIABLES} cannot be read ({reason}); export the model again."
        ) from error
    check_variables(card, expected, variables, file, hint)
    return Export(card, model, variables)


def describe_model(
    card: ModelCard, file: Path, hint: str
) -> tuple[nn.Module, dict[str, tuple[int, ...]]]:
    """Returns a model, and the shape of each of its arrays by its name.

    Args:
      card: Its description.
      file: The file of the description.
      hint: Advice where no such model works.

    Raises:
      UserError: No such model works.
    """
    try:
        model = card.create_model()
        images = jax.ShapeDtypeStruct((1, *card.seen_shape), "float32")
        variables = jax.eval_shape(model.init, jax.random.key(0), images)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{file} describes no network that works ({reason}); {hint}.") from error
    return model, {name: x.shape for name, x in flatten_dict(variables, sep="/").items()}


def check_variables(
    card: ModelCard, expected: Mapping[str, tuple[int, ...]], variables: Any, file: Path, hint: str
) -> None:
    """Raises a UserError where variables are not those of a described model, or not finite.

    Args:
      card: The description.
      expected: The shapes of the model's arrays by their names.
      variables: Parameters and statistics.
      file: The file of the description.
      hint: Advice where the two do not fit.
    """
    arrays = flatten_dict(variables, sep="/")
    problems = differences(expected, {name: x.shape for name, x in arrays.items()})
    if problems:
        raise UserError(
            f"the arrays in {file.parent} are not those of the {card.name} for "
            f"{counted(len(card.class_names), 'class', 'classes')} that its {file.name} describes; "
            f"{problems}. {hint[:1].upper()}{hint[1:]}."
        )
    check_finite(arrays, f"{hint}, {file.parent} is damaged")


def _export_directory(path: str | Path) -> Path:
    path = Path(path)
    for directory in (path, path / "export"):
        if os.path.isfile(directory / _CARD):
            return directory
    raise UserError(
        f"no model in {str(path)!r}: neither it nor its export/ has a {_CARD}. Give an export, "
        "or the directory of a run that has a checkpoint."
    )
