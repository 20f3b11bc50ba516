"""Configurations: the keys that every one has, and the values that make sense."""

import math
import os
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from ml_collections import ConfigDict

from flax_vision.data.flags import CLASS_ORDERS, MAX_PIXELS
from flax_vision.errors import UserError, unknown
from flax_vision.text import counted

INIT_FROM = "init_from"
DATA_PATHS = ("data.tfds_dir", "data.image_dir")
PATH_KEYS = (INIT_FROM, *DATA_PATHS)
"""Keys whose value is a path."""


def default_config() -> ConfigDict:
    """Returns every key that a configuration has, for a config file to start from."""
    return ConfigDict(
        {
            "seed": 0,  # of parameters, dropout and the order of the images
            "batch_size": 128,
            "epochs": 10,
            "steps_per_call": 1,  # compiled into one program: for batches of an image or so
            "init_from": "",  # an export or a run whose layers this one begins with
            "init_pattern": ".*",  # which of them: a regular expression of their names
            "init_preprocessing": True,  # and whether its mean and std replace those of data
            "freeze": "",  # layers that are not trained: a regular expression of their names
            "model": {"name": "lenet5"},  # and the network's own options
            "data": {
                "name": "mnist_5k",  # or the TFDS name of a set, or folder
                "tfds_dir": "",  # where TFDS keeps its sets; empty for its default
                "image_dir": "",  # folder: a directory a class, or train/, val/ and test/ with such
                "val_fraction": 0.1,  # share of the training set that chooses the best model
                "test_fraction": 0.1,  # folder: share of the test split, if there is no test/
                "on_error": "stop",  # at photographs that cannot be read; or skip and count them
                "num_threads": 0,  # that decode photographs; 0 for one a core
                "max_pixels": MAX_PIXELS,  # of a photograph; larger ones are not decoded
                "class_order": "natural",  # folder: 9 before 10; or sorted, as ImageFolder
                "reshuffle": True,  # another order in each epoch
                "resize": 0,  # height and width that images are brought to; 0 to leave them
                "grayscale": False,  # photographs: one channel in place of three
                "channels": 0,  # how often a gray image is repeated; 3 for color, 0 to leave it
                "crop": 0,  # height and width of the part that the network sees; 0 for all
                "subtract_mean": "given",  # or channel, pixel: the training set's mean
                "mean": (0.0,),  # subtracted from the pixels 0..255, one or one a channel
                "std": (255.0,),  # divides them then
            },
            "crop": {  # of photographs, which have any size
                "size": 0,  # height and width of the part that is seen; 0 for small images
                "eval_resize": 0,  # shorter side in a test, before the center crop; 0: 8/7 size
                "resize_range": (256, 256),  # from which to which it is random in training
                "center_square": False,  # resize_range: parts of the middle square only
                "scale": (),  # in place of resize_range: range of the crop's share of the area
                "ratio": (3 / 4, 4 / 3),  # scale: width of the part in multiples of its height
                "interpolation": "bilinear",  # or random: of four, in training
            },
            "augmentation": {
                "random_affine": 0.0,  # strength of translation, scaling, squeezing and shearing
                "color_jitter": 0.0,  # most by which contrast, brightness and color change
                "pca_noise": 0.0,  # deviation of multiples of the colors' components
                "pca_scaling": "eigenvalues",  # scale them; or deviations, as the 2012 code
                "pad_and_crop": 0,  # pixels of zeros around an image that is cropped then
                "flip": False,  # mirrors every other image
            },
            "loss": {
                "name": "cross_entropy",  # or lenet5_map, which is LeNet-5's
                "map_j": 10.0,  # lenet5_map: the constant j
                "aux_weight": 0.3,  # weight of each auxiliary head's loss, where there are some
            },
            "optimizer": {
                "name": "sgd",  # or levenberg_marquardt, which is LeNet-5's
                "damping": 0.02,  # levenberg_marquardt: added to the curvature
                "curvature_samples": 500,  # levenberg_marquardt: images that estimate the curvature
                "momentum": 0.9,
                "momentum_form": "standard",  # or alexnet: the velocity contains the rate
                "weight_decay": 0.0,  # times the weights, added to the gradient
                "decay_biases": True,
                "bias_lr_mult": 1.0,  # times the rate for biases
                "grad_accum_steps": 1,  # batches whose mean gradient makes one step
                "ema_decay": 0.0,  # decay of Polyak's average of the parameters; 0 for none
            },
            "schedule": {
                "name": "cosine",  # constant, one_cycle, exponential, piecewise, plateau
                "lr": 0.01,  # the first one, or the highest
                "boundaries": (),  # piecewise: epochs after which the rate is another
                "decay_factors": (),  # piecewise: and what it then is, in multiples of the first
                "factor": 0.1,  # plateau, exponential: multiplies the rate
                "decay_epochs": 8.0,  # exponential: epochs after which it does so
                "patience": 5,  # plateau: epochs without a better one after which it does so
                "max_drops": 3,  # plateau: how often at most
                "warmup": {
                    "epochs": 0.0,  # with which the run begins
                    "name": "linear",  # rises to the rate; constant stays at
                    "factor": 0.1,  # times the rate
                },
            },
            "write_report": True,  # at the end: a page in report/ of the run
            "mesh": {  # of devices; it is not part of what a run is, which may go on on another
                "data": 0,  # devices that share each batch; 0 for all that there are
                "column": 1,  # devices that share AlexNet's columns: 1 or 2
                "fsdp": False,  # large parameters are divided among the devices that share a batch
            },
            "checkpoint": {
                "save_interval_secs": 60.0,  # the longest time that a kill can cost
                "max_to_keep": 2,  # of the newest; the best is kept besides
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
        except (TypeError, ValueError, OverflowError):  # of another type than the rule compares
            valid = False
        if not valid:
            raise UserError(f"config.{key} is {flat[key]!r}; it must be {rule}.")
    for key in CHOICES:
        check_choice(key, flat[key])
    boundaries, factors = flat["schedule.boundaries"], flat["schedule.decay_factors"]
    if len(boundaries) != len(factors):
        raise UserError(
            f"config.schedule.boundaries has {counted(len(boundaries), 'epoch')} and "
            f"config.schedule.decay_factors {len(factors)}; give a factor for each."
        )
    _check_start(flat)
    _check_photographs(flat)


def check_choice(key: str, value: Any) -> None:
    """Raises a UserError unless the value is one of the key's choices."""
    if value not in CHOICES[key]:
        raise unknown(f"config.{key}", value, CHOICES[key])


def _check_photographs(flat: Mapping[str, Any]) -> None:
    """Raises a UserError where what is set about them would have no effect, or cannot be."""
    if flat["data.image_dir"] and flat["data.name"] != "folder":
        raise UserError(
            f"config.data.image_dir is {flat['data.image_dir']!r}, and config.data.name "
            f"{flat['data.name']!r}, which takes no folder; give the recipe `folder` of a config "
            "file, such as configs/resnet50.py:folder, or --config.data.name=folder."
        )
    scales = {"eval_resize": flat["crop.eval_resize"] or math.inf}
    if not flat["crop.scale"]:
        scales["resize_range"] = flat["crop.resize_range"][0]
    for key, least in scales.items():
        if flat["crop.size"] > least:
            raise UserError(
                f"config.crop.size is {flat['crop.size']}, and config.crop.{key} brings the "
                f"shorter side of photographs to {least}; give it {flat['crop.size']} at least."
            )


def _check_start(flat: Mapping[str, Any]) -> None:
    """Raises a UserError where what is set about layers would have no effect."""
    defaults = default_config()
    for key in ("init_pattern", "init_preprocessing"):
        if not flat["init_from"] and flat[key] != defaults[key]:
            raise UserError(
                f"config.{key} is {flat[key]!r}, and config.init_from, what layers would be taken "
                f"from, is empty; give --config.init_from=DIR, or leave config.{key} out."
            )
    if flat["freeze"] and flat["optimizer.name"] == "levenberg_marquardt":
        raise UserError(
            f"config.freeze is {flat['freeze']!r}, and config.optimizer.name is "
            "'levenberg_marquardt', which trains all layers; choose sgd."
        )


def split_spec(spec: str) -> tuple[str, str]:
    """Returns the path and the recipe of `PATH` or `PATH:RECIPE`; the path may have colons."""
    path, colon, recipe = spec.rpartition(":")
    return (path, recipe) if colon and os.sep not in recipe else (spec, "")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a nested configuration by their dotted keys.

    An empty section is a value.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _numbers(values: Any) -> bool:
    return all(isinstance(value, Real) and math.isfinite(value) for value in values)


def _finite_numbers(values: Any) -> bool:
    return len(values) > 0 and _numbers(values)


def _range(values: Any, least: float, most: float) -> bool:
    """Returns whether there are two numbers, the lower first, above `least` and at most `most`."""
    low, high = values
    return _numbers(values) and least < low <= high <= most


_Rule = tuple[Callable[[Any], bool], str]

_BOOL: _Rule = (lambda value: isinstance(value, bool), "True or False")
_AT_LEAST_0: _Rule = (lambda value: 0 <= value < math.inf, "at least 0 and finite")
_AT_LEAST_1: _Rule = (lambda value: value >= 1, "at least 1")
_MOST = 2**31 - 1
_COUNT: _Rule = (lambda value: 1 <= value <= _MOST, f"from 1 to {_MOST}")
_COUNT_OR_0: _Rule = (lambda value: 0 <= value <= _MOST, f"from 0 to {_MOST}")
_ABOVE_0: _Rule = (lambda value: 0 < value < math.inf, "greater than 0 and finite")
_SHARE: _Rule = (lambda value: 0 <= value < 1, "from 0 to below 1")
_BETWEEN_0_AND_1: _Rule = (lambda value: 0 < value < 1, "between 0 and 1")

_RULES: dict[str, _Rule] = {
    "write_report": _BOOL,
    "data.reshuffle": _BOOL,
    "data.grayscale": _BOOL,
    "seed": _COUNT_OR_0,
    "batch_size": _COUNT,
    "epochs": _COUNT,
    "steps_per_call": _COUNT,
    "data.val_fraction": _SHARE,
    "data.test_fraction": _SHARE,
    "data.num_threads": _COUNT_OR_0,
    "data.max_pixels": _AT_LEAST_1,
    "data.resize": _AT_LEAST_0,
    "data.channels": _AT_LEAST_0,
    "data.crop": _AT_LEAST_0,
    "data.mean": (_finite_numbers, "finite numbers, one or one a channel"),
    "data.std": (
        lambda values: _finite_numbers(values) and all(values),
        "finite numbers other than 0, one or one a channel",
    ),
    "crop.size": _AT_LEAST_0,
    "crop.eval_resize": _AT_LEAST_0,
    "crop.resize_range": (
        lambda values: _range(values, 0, math.inf) and all(isinstance(x, int) for x in values),
        "two whole numbers of pixels, the lower first",
    ),
    "crop.scale": (
        lambda values: not values or _range(values, 0, 1),
        "empty, or two numbers above 0 and at most 1, the lower first",
    ),
    "crop.ratio": (
        lambda values: _range(values, 0, math.inf),
        "two numbers above 0, the lower first",
    ),
    "augmentation.random_affine": _AT_LEAST_0,
    "augmentation.color_jitter": (lambda value: 0 <= value <= 1, "from 0 to 1"),
    "augmentation.pca_noise": _AT_LEAST_0,
    "augmentation.pad_and_crop": _AT_LEAST_0,
    "loss.map_j": (math.isfinite, "finite"),
    "loss.aux_weight": _AT_LEAST_0,
    "optimizer.damping": _ABOVE_0,
    "optimizer.curvature_samples": _AT_LEAST_1,
    "optimizer.momentum": _SHARE,
    "optimizer.weight_decay": _AT_LEAST_0,
    "optimizer.bias_lr_mult": _AT_LEAST_0,
    "optimizer.grad_accum_steps": _AT_LEAST_1,
    "optimizer.ema_decay": _SHARE,
    "schedule.lr": _ABOVE_0,
    "schedule.boundaries": (
        lambda values: _numbers(values) and sorted(values) == list(values),
        "epochs, the earlier first",
    ),
    "schedule.decay_factors": (_numbers, "finite numbers"),
    "schedule.factor": _BETWEEN_0_AND_1,
    "schedule.decay_epochs": _ABOVE_0,
    "schedule.patience": _AT_LEAST_1,
    "schedule.max_drops": _AT_LEAST_0,
    "schedule.warmup.epochs": _AT_LEAST_0,
    "schedule.warmup.factor": _AT_LEAST_0,
    "mesh.data": _AT_LEAST_0,
    "mesh.column": (lambda value: value in (1, 2), "1, or 2 for AlexNet's columns"),
    "checkpoint.save_interval_secs": _AT_LEAST_0,
    "checkpoint.max_to_keep": _AT_LEAST_1,
}

CHOICES = {
    "data.subtract_mean": ("given", "channel", "pixel"),
    "data.on_error": ("stop", "skip"),
    "data.class_order": CLASS_ORDERS,
    "crop.interpolation": ("bilinear", "random"),
    "augmentation.pca_scaling": ("eigenvalues", "deviations"),
    "loss.name": ("cross_entropy", "lenet5_map"),
    "optimizer.name": ("sgd", "levenberg_marquardt"),
    "optimizer.momentum_form": ("standard", "alexnet"),
    "schedule.name": ("constant", "cosine", "one_cycle", "exponential", "piecewise", "plateau"),
    "schedule.warmup.name": ("linear", "constant"),
}
