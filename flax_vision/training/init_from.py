"""Layers that begin with the parameters of another network, trained before.

Those of all but the last layer, to fit the network to other classes; or chosen ones: VGG's deeper
networks begin with the first four convolutions and the fully connected layers of configuration A
(Simonyan and Zisserman 2014, section 3.1).
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
from flax_vision.weights.loading import load_model
from flax_vision.weights.saved_model import ModelMetadata

ALL = ".*"
"""The pattern of all layers."""

_NAMED = 5

Arrays = Mapping[tuple[str, ...], Any]
"""By their collection, the layers and their own names."""


@dataclass(frozen=True)
class Trained:
    """A network that another is to begin with.

    Attributes:
      path: where it is.
      pattern: of the names of the layers that are taken.
      metadata: its description.
      variables: its parameters and statistics.
      note: A line about the checkpoint of an unfinished run; empty for an export.
    """

    path: str
    pattern: str
    metadata: ModelMetadata
    variables: Mapping[str, Any]
    note: str = ""

    @property
    def layers(self) -> list[str]:
        """The names of its outermost layers that are taken."""
        return [name for name in self.variables["params"] if re.fullmatch(self.pattern, name)]


@dataclass(frozen=True)
class Start:
    """What a network begins with.

    Attributes:
      variables: parameters and statistics that take the place of its own, as its collections have
        them.
      afresh: layers of the other network that are not taken, because they tell other classes apart.
      metadata: of the other network.
      note: A line about the checkpoint of an unfinished run; empty for an export.
    """

    variables: Mapping[str, Any]
    reinitialized: list[str]
    metadata: ModelMetadata
    note: str = ""

    def describe(self, path: str, name: str) -> str:
        """Returns a line about it.

        Args:
          path: of the other network.
          name: of the network that begins with it.
        """
        count = len(flatten_dict(dict(self.variables)))
        other = self.metadata.name
        text = f"{count:,} arrays are those of {other} in {path}"
        if other != name:
            text += f", which is another network than {name}, with layers of the same shapes"
        if self.reinitialized:
            text += f"; {', '.join(self.reinitialized)} begin afresh, for other classes"
        return text


def load_trained(path: str, pattern: str, name: str, options: Mapping[str, Any]) -> Trained:
    """Reads a trained network that another is to begin with.

    Args:
      path: An export directory, or a run directory.
      pattern: regular expression of the names of the network's outermost layers, whole.
      name: of the new network.
      options: of it, all that there are.

    Raises:
      UserError: there is no export, it is damaged, no layer has such a name, or the new network
        has other options, by which the parameters would mean something else.
    """
    loaded = load_model(path)
    trained = Trained(path, pattern, loaded.metadata, loaded.variables, loaded.note)
    try:
        layers = trained.layers
    except re.error as error:
        raise UserError(
            f"config.init_pattern is {pattern!r}, which is no regular expression ({error})."
        ) from error
    if not layers:
        raise UserError(
            f"config.init_pattern is {pattern!r}, and no layer in {path} has such a name: "
            f"{', '.join(loaded.variables['params'])}."
        )
    if pattern == ALL:
        _check_name(trained, name)
    _check_options(trained, name, options)
    return trained


def _check_options(trained: Trained, name: str, options: Mapping[str, Any]) -> None:
    """Raises a UserError that lists the options in which two networks differ."""
    there = {**model_options(trained.metadata.name), **trained.metadata.options}
    other = differing_options(there, options)
    if other:
        given = [f"--config.model.{key}={old}" for key, (old, _) in other.items()]
        raise UserError(
            f"{trained.path} has another {trained.metadata.name} than this {name}, in which its "
            f"parameters would mean something else: {_told(other)}. Give {' '.join(given)}."
        )


def _check_name(trained: Trained, name: str) -> None:
    """Raises a UserError where the names of two networks fix how the same layers compute."""
    old = trained.metadata.name
    other = differing_options(find_variant(old).fixed, find_variant(name).fixed)
    if other:
        raise UserError(
            f"{trained.path} has {old}, in which the parameters mean something else than in "
            f"{name}: {_told(other)}. Give --config.model.name={old}, or with "
            "--config.init_pattern the layers that are to be taken."
        )


def _told(other: Mapping[str, tuple[Any, Any]]) -> str:
    return "; ".join(
        f"{key} is {old!r} there and {new!r} here" for key, (old, new) in other.items()
    )


def check_layers(trained: Trained, variables: Mapping[str, Any]) -> None:
    """Raises a UserError where two networks have not the same layers, whatever their shapes.

    Args:
      trained: the network to begin with.
      variables: of the new one, or their shapes and types, for images of any size and any classes.
    """
    there, here = _taken(trained, variables)
    _check(trained.path, there, here, there.keys() & here.keys())


def start_from(trained: Trained, variables: Mapping[str, Any], classes: int) -> Start:
    """Returns what a network is to begin with of a trained one.

    Args:
      trained: the other network.
      variables: of the new network, or their shapes and types.
      classes: that the new network tells apart.

    Raises:
      UserError: a layer does not fit for other reasons than the number of classes; where all layers
        are asked for, also where the new network has more.
    """
    there, here = _taken(trained, variables)
    reinitialized = _of_other_classes(there, here, len(trained.metadata.class_names), classes)
    _check(trained.path, there, here, reinitialized)
    taken = {key: x for key, x in there.items() if key not in reinitialized}
    layers = sorted({"/".join(key[1:-1]) for key in reinitialized})
    return Start(unflatten_dict(taken), layers, trained.metadata, trained.note)


def _taken(trained: Trained, variables: Mapping[str, Any]) -> tuple[Arrays, Arrays]:
    """Returns the arrays of the layers that are taken, there and here."""
    layers = trained.layers
    wanted = list(variables["params"]) if trained.pattern == ALL else layers
    return _of_layers(trained.variables, layers), _of_layers(variables, wanted)


def _of_layers(variables: Mapping[str, Any], names: Collection[str]) -> Arrays:
    """Returns the parameters and statistics of layers."""
    flat = flatten_dict(dict(variables))
    return {key: x for key, x in flat.items() if key[1] in names}


def _of_other_classes(there: Arrays, here: Arrays, old: int, new: int) -> set[tuple[str, ...]]:
    """Returns the arrays that have only another number of classes, their last axis."""
    return {
        key
        for key, x in there.items()
        if key in here
        and old != new
        and (x.shape[-1:], here[key].shape) == ((old,), (*x.shape[:-1], new))
    }


def _check(path: str, there: Arrays, here: Arrays, other: Collection[tuple[str, ...]]) -> None:
    """Raises a UserError that lists what does not fit; `other` may have other shapes."""
    problems = [
        f"{'/'.join(key[1:])} is {list(x.shape)} there and "
        f"{list(here[key].shape) if key in here else 'not in the network'} here"
        for key, x in there.items()
        if key not in other and (key not in here or here[key].shape != x.shape)
    ]
    problems += [
        f"{'/'.join(key[1:])} is not there and {list(x.shape)} here"
        for key, x in here.items()
        if key not in there
    ]
    if problems:
        raise UserError(
            f"{len(problems):,} arrays in {path} do not fit the network: "
            f"{listed(problems, _NAMED, '; ')}. Give the network the name, the options and the "
            "image size of the other, or choose layers with config.init_pattern, such as "
            "'conv1_1|fc.*'."
        )


def preprocessing_of(metadata: ModelMetadata, given: Preprocessing) -> Preprocessing:
    """Returns a preprocessing with the mean and the deviation that a network was trained with.

    A mean image becomes the mean of each channel, for it is of images of one size.

    Args:
      metadata: of the network.
      given: the preprocessing.
    """
    mean = np.asarray(metadata.preprocessing.mean)
    if mean.ndim == 3:
        mean = mean.mean(axis=(0, 1)).round(3)
    std = list(metadata.preprocessing.std)
    return dataclasses.replace(given, mean=mean.tolist(), std=std)
