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
from flax_vision.weights import exported
from flax_vision.weights.exported import ModelCard

_ALL = ".*"
_NAMED = 5

Arrays = Mapping[tuple[str, ...], Any]
"""By their collection, the layers and their own names."""


@dataclass(frozen=True)
class Start:
    """What a network begins with.

    Attributes:
      variables: parameters and statistics that take the place of its own, as its collections have
        them.
      afresh: layers of the other network that are not taken, because they tell other classes apart.
      card: of the other network.
    """

    variables: Mapping[str, Any]
    afresh: list[str]
    card: ModelCard

    def describe(self, path: str, name: str) -> str:
        """Returns a line about it.

        Args:
          path: of the other network.
          name: of the network that begins with it.
        """
        count = len(flatten_dict(dict(self.variables)))
        other = self.card.name
        text = f"{count:,} arrays are those of {other} in {path}"
        if other != name:
            text += f", which is another network than {name}, with layers of the same shapes"
        if self.afresh:
            text += f"; {', '.join(self.afresh)} begin afresh, for other classes"
        return text


def start_from(path: str, pattern: str, variables: Mapping[str, Any], classes: int) -> Start:
    """Returns what a network is to begin with of a trained one.

    Args:
      path: an export directory, or a run directory that has one.
      pattern: regular expression of the names of the network's outermost layers, whole.
      variables: of the new network, or their shapes and types.
      classes: that the new network tells apart.

    Raises:
      UserError: there is no export, no layer has such a name, or a layer does not fit for other
        reasons than the number of classes; where all layers are asked for, also where the new
        network has more.
    """
    card = exported.load_card(path)
    _, found = exported.load(path)
    try:
        names = [name for name in found["params"] if re.fullmatch(pattern, name)]
    except re.error as error:
        raise UserError(
            f"config.init_layers is {pattern!r}, which is no regular expression ({error})."
        ) from error
    if not names:
        raise UserError(
            f"config.init_layers is {pattern!r}, and no layer in {path} has such a name: "
            f"{', '.join(found['params'])}."
        )
    there = _of_layers(found, names)
    here = _of_layers(variables, list(variables["params"]) if pattern == _ALL else names)
    afresh = _of_other_classes(there, here, len(card.class_names), classes)
    _check(path, {k: x for k, x in there.items() if k not in afresh}, here, afresh)
    taken = {key: x for key, x in there.items() if key not in afresh}
    layers = sorted({"/".join(key[1:-1]) for key in afresh})
    return Start(unflatten_dict(taken), layers, card)


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


def _check(path: str, there: Arrays, here: Arrays, afresh: Collection[tuple[str, ...]]) -> None:
    """Raises a UserError that lists what does not fit."""
    problems = [
        f"{'/'.join(key[1:])} is {list(x.shape)} there and "
        f"{list(here[key].shape) if key in here else 'not in the network'} here"
        for key, x in there.items()
        if key not in here or here[key].shape != x.shape
    ]
    problems += [
        f"{'/'.join(key[1:])} is not there and {list(x.shape)} here"
        for key, x in here.items()
        if key not in there and key not in afresh
    ]
    if problems:
        more = f" and {len(problems) - _NAMED:,} more" if len(problems) > _NAMED else ""
        raise UserError(
            f"{len(problems):,} arrays in {path} do not fit the network: "
            f"{'; '.join(problems[:_NAMED])}{more}. Give the network the name, the options and the "
            "image size of the other, or choose layers with config.init_layers, such as "
            "'conv1_1|fc.*'."
        )


def preprocessing_of(card: ModelCard, given: Preprocessing) -> Preprocessing:
    """Returns a preprocessing with the mean and the deviation that a network was trained with.

    A mean image becomes the mean of each channel, for it is of images of one size.

    Args:
      card: of the network.
      given: the preprocessing.
    """
    mean = np.asarray(card.preprocessing.mean)
    if mean.ndim == 3:
        mean = mean.mean(axis=(0, 1)).round(3)
    std = list(card.preprocessing.std)
    return dataclasses.replace(given, mean=mean.tolist(), std=std)
