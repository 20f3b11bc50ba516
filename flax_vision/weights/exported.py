"""The export directory: a network with its parameters and all that is needed to use it."""

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from flax import linen as nn
from jax.sharding import Mesh

from flax_vision import checkpoints
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.view import View
from flax_vision.errors import UserError
from flax_vision.models.registry import create_model

_FORMAT = 1
_CARD = "model.json"
_VARIABLES = "variables"


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
    file = _export_directory(path) / _CARD
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
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error}); export the model again.") from error


def load(path: str | Path) -> tuple[nn.Module, Any]:
    """Returns what training or an import left behind: the module and its variables.

    `module.apply(variables, images)` is ready to be called; `load_card` tells what the images
    must look like.

    Args:
      path: an export directory, or a run directory that has one.

    Raises:
      UserError: there is no export, or it is damaged.
    """
    model = load_card(path).create_model()
    directory = _export_directory(path) / _VARIABLES
    try:
        return model, checkpoints.load_tree(directory)
    except Exception as error:  # Orbax raises anything for damaged files
        raise UserError(f"{directory} cannot be read ({error}); export the model again.") from error


def _export_directory(path: str | Path) -> Path:
    path = Path(path)
    for directory in (path, path / "export"):
        if (directory / _CARD).is_file():
            return directory
    raise UserError(
        f"no model in {str(path)!r}: neither it nor its export/ has a {_CARD}. Give the directory "
        "of a finished run, or its export/."
    )
