"""Initial weights of a model from the layers of a trained model.

All layers but the last adapt a model to other classes. A pattern chooses layers for a deeper model:
VGG's start from four convolutions and the fully connected layers of configuration A (Simonyan and
Zisserman 2014, section 3.1).
"""

import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.models.registry import differing_options, find_variant, model_options
from flax_vision.text import listed
from flax_vision.training.freeze import compile_pattern
from flax_vision.weights.loading import load_model
from flax_vision.weights.saved_model import LoadedModel, ModelMetadata

ALL = ".*"
"""Pattern of all layers."""

_MAX_LISTED = 5

Arrays = dict[tuple[str, ...], Any]
"""Arrays, or their shapes and types, by path: the collection, the layers and the array's name."""


@dataclass(frozen=True)
class SourceModel:
    """A trained model whose layers initialize another.

    Attributes:
      path: Export or run directory.
      pattern: Regular expression for the names of the layers to copy.
      model: The model, with its description and variables.
    """

    path: str
    pattern: re.Pattern[str]
    model: LoadedModel

    @property
    def layers(self) -> list[str]:
        """Names of the outermost layers to copy."""
        return list(filter(self.pattern.fullmatch, self.model.variables["params"]))


@dataclass(frozen=True)
class InitialWeights:
    """Parameters and statistics that replace the initial ones of a model.

    Attributes:
      variables: The arrays, nested as in the model.
      reinitialized: Layers that are not copied, because their number of classes differs.
      source: Origin of the arrays.
    """

    variables: Mapping[str, Any]
    reinitialized: list[str]
    source: SourceModel

    def describe(self, name: str) -> str:
        """Returns a line about the arrays for the model of this name."""
        other = self.source.model.metadata.name
        count = len(flatten_dict(dict(self.variables)))
        text = f"{count:,} arrays are copied from {other} in {self.source.path}"
        if other != name:
            text += f", another model than {name} with layers of the same shapes"
        if self.reinitialized:
            text += f"; reinitialized for other classes: {', '.join(self.reinitialized)}"
        return text


def load_source(path: str, pattern: str, name: str, options: Mapping[str, Any]) -> SourceModel:
    """Loads a trained model whose layers initialize another.

    Args:
      path: Export or run directory.
      pattern: Regular expression for the whole names of its outermost layers.
      name: Name of the new model.
      options: All options of the new model.

    Raises:
      UserError: The model cannot be loaded, no layer has such a name, or the new model's options
        give the parameters another meaning.
    """
    source = SourceModel(path, compile_pattern("init_pattern", pattern), load_model(path))
    if not source.layers:
        raise UserError(
            f"config.init_pattern is {pattern!r}, and no layer in {path} has such a name: "
            f"{', '.join(source.model.variables['params'])}."
        )
    _check_meaning(source, name, options)
    return source


def _check_meaning(source: SourceModel, name: str, options: Mapping[str, Any]) -> None:
    """Raises a UserError if equal parameters mean something else in the two models."""
    old = source.model.metadata
    old_options = {**model_options(old.name), **old.options}
    differing = {}
    if source.pattern.pattern == ALL:
        old_fixed, fixed = find_variant(old.name).fixed, find_variant(name).fixed
        # One name may fix an attribute that is an option of the other.
        pairs = differing_options({**old_options, **old_fixed}, {**options, **fixed})
        differing = {key: pair for key, pair in pairs.items() if key in {*old_fixed, *fixed}}
    advice = f"--config.model.name={old.name}, or choose layers with --config.init_pattern"
    if not differing:
        differing = differing_options(old_options, options)
        advice = " ".join(f"--config.model.{key}={value}" for key, (value, _) in differing.items())
    if differing:
        details = [f"{key} is {x!r} there and {y!r} here" for key, (x, y) in differing.items()]
        raise UserError(
            f"{source.path} has {old.name}, whose parameters have another meaning in this {name}: "
            f"{'; '.join(details)}. Give {advice}."
        )


def check_layers(source: SourceModel, variables: Mapping[str, Any]) -> None:
    """Raises a UserError if two models differ in their layers; shapes do not matter.

    Args:
      source: The trained model.
      variables: Variables of the new model for any images and classes, or their shapes and types.
    """
    there, here = _selected_arrays(source, variables)
    _check_arrays(source.path, there, here, there.keys() & here.keys())


def select_weights(
    source: SourceModel, variables: Mapping[str, Any], classes: int
) -> InitialWeights:
    """Selects the arrays that initialize a model.

    Args:
      source: The trained model.
      variables: Variables of the new model, or their shapes and types.
      classes: Number of classes of the new model.

    Raises:
      UserError: A layer differs in more than the number of classes, or the new model has more
        layers and all are wanted.
    """
    there, here = _selected_arrays(source, variables)
    old_classes = len(source.model.metadata.class_names)
    reinitialized = {
        key
        for key, x in there.items()
        if key in here
        and old_classes != classes
        and x.shape[-1:] == (old_classes,)
        and here[key].shape == (*x.shape[:-1], classes)
    }
    _check_arrays(source.path, there, here, reinitialized)
    copied = {key: x for key, x in there.items() if key not in reinitialized}
    layers = sorted({"/".join(key[1:-1]) for key in reinitialized})
    return InitialWeights(unflatten_dict(copied), layers, source)


def _selected_arrays(source: SourceModel, variables: Mapping[str, Any]) -> tuple[Arrays, Arrays]:
    """Returns the arrays of the selected layers in the trained and in the new model."""
    there, here = (flatten_dict(dict(tree)) for tree in (source.model.variables, variables))
    layers = source.layers
    wanted = variables["params"] if source.pattern.pattern == ALL else layers
    return (
        {key: x for key, x in there.items() if key[1] in layers},
        {key: x for key, x in here.items() if key[1] in wanted},
    )


def _check_arrays(
    path: str, there: Arrays, here: Arrays, any_shape: Collection[tuple[str, ...]]
) -> None:
    """Raises a UserError that lists the arrays that do not fit.

    Args:
      path: Directory of the trained model.
      there: Arrays of the trained model.
      here: Arrays of the new model.
      any_shape: Paths whose shapes may differ.
    """
    problems = []
    for key in there | here:
        old, new = (list(x[key].shape) if key in x else "missing" for x in (there, here))
        if old != new and key not in any_shape:
            problems.append(f"{'/'.join(key[1:])} is {old} there and {new} here")
    if problems:
        raise UserError(
            f"{len(problems):,} arrays in {path} do not fit the model: "
            f"{listed(problems, _MAX_LISTED, '; ')}. Give the model the name, the options and the "
            "image size of the other, or choose layers with config.init_pattern, such as "
            "'conv1_1|fc.*'."
        )


def source_preprocessing(metadata: ModelMetadata, given: Preprocessing) -> Preprocessing:
    """Returns a preprocessing with the mean and the deviation of a trained model.

    The mean image of a model has one size, so only its channels' means are used.

    Args:
      metadata: Description of the trained model.
      given: Preprocessing of the new model.
    """
    mean = np.asarray(metadata.preprocessing.mean)
    if mean.ndim == 3:
        mean = mean.mean(axis=(0, 1)).round(3)
    std = list(metadata.preprocessing.std)
    return dataclasses.replace(given, mean=mean.tolist(), std=std)
