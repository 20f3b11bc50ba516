"""Configurations: the keys that every one has, and the values that make sense."""

import math
import os
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from ml_collections import ConfigDict

from flax_vision.errors import UserError, unknown


def default_config() -> ConfigDict:
    """Returns every key that a configuration has, for a config file to start from."""
    return ConfigDict(
        {
            "seed": 0,  # of parameters, dropout and the order of the images
            "batch_size": 128,
            "epochs": 10,
            "model": {"name": "lenet5"},  # and the network's own options
            "data": {
                "name": "mnist_5k",  # or the TFDS name of a set of small images
                "directory": "",  # where TFDS keeps its sets; empty for its default
                "validation": 0.1,  # share of the training set that chooses the best model
                "mean": (0.0,),  # subtracted from the pixels 0..255, one or one a channel
                "std": (255.0,),  # divides them then
            },
            "loss": {
                "name": "cross_entropy",  # or map, which is LeNet-5's
                "rubbish": 10.0,  # the constant j of the loss `map`
            },
            "optimizer": {"momentum": 0.9, "weight_decay": 0.0},
            "schedule": {"name": "cosine", "learning_rate": 0.01},
            "checkpoint": {
                "every_seconds": 60.0,  # the longest time that a kill can cost
                "keep": 2,  # of the newest; the best is kept besides
            },
        }
    )


def choose_recipe(recipe: str, recipes: Mapping[str, Callable[[ConfigDict], None]]) -> Any:
    """Returns the recipe of a config file that was named after the colon.

    Raises:
      UserError: there is no such recipe.
    """
    if recipe not in recipes:
        raise unknown("recipe", recipe, [name for name in recipes if name])
    return recipes[recipe]


def check(config: ConfigDict) -> None:
    """Raises a UserError that names the first value that makes no sense."""
    flat = flatten(config)
    for key, (is_valid, rule) in _RULES.items():
        try:
            valid = is_valid(flat[key])
        except (TypeError, ValueError):  # of another type than the rule compares
            valid = False
        if not valid:
            raise UserError(f"config.{key} is {flat[key]!r}; it must be {rule}.")
    for key, choices in _CHOICES.items():
        if flat[key] not in choices:
            raise unknown(f"config.{key}", flat[key], choices)


def split_spec(spec: str) -> tuple[str, str]:
    """Returns the path and the recipe of `PATH` or `PATH:RECIPE`; the path may have colons."""
    path, colon, recipe = spec.rpartition(":")
    return (path, recipe) if colon and os.sep not in recipe else (spec, "")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a nested configuration by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _finite_numbers(values: Any) -> bool:
    return len(values) > 0 and all(isinstance(v, Real) and math.isfinite(v) for v in values)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (lambda value: 0 <= value < 2**31, "from 0 to 2147483647"),
    "batch_size": (lambda value: value >= 1, "at least 1"),
    "epochs": (lambda value: value >= 1, "at least 1"),
    "data.validation": (lambda value: 0 <= value < 1, "from 0 to below 1"),
    "data.mean": (_finite_numbers, "finite numbers, one or one a channel"),
    "data.std": (
        lambda values: _finite_numbers(values) and all(values),
        "finite numbers other than 0, one or one a channel",
    ),
    "loss.rubbish": (math.isfinite, "finite"),
    "optimizer.momentum": (lambda value: 0 <= value < 1, "from 0 to below 1"),
    "optimizer.weight_decay": (lambda value: 0 <= value < math.inf, "at least 0 and finite"),
    "schedule.learning_rate": (lambda value: 0 < value < math.inf, "greater than 0 and finite"),
    "checkpoint.every_seconds": (lambda value: 0 <= value < math.inf, "at least 0 and finite"),
    "checkpoint.keep": (lambda value: value >= 1, "at least 1"),
}

_CHOICES = {
    "schedule.name": ("constant", "cosine"),
    "loss.name": ("cross_entropy", "map"),
}
