"""Keys of a configuration, with their defaults and valid values."""

import math
import os
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from ml_collections import ConfigDict

from flax_vision.data.flags import CLASS_ORDERS, MAX_PIXELS
from flax_vision.errors import UserError, unknown
from flax_vision.text import counted
from flax_vision.training.renamed_keys import NEW_VALUES

INIT_FROM = "init_from"
DATA_PATHS = ("data.tfds_dir", "data.image_dir")
PATH_KEYS = (INIT_FROM, *DATA_PATHS)
"""Keys with a path as their value."""


def default_config() -> ConfigDict:
    """Returns every configuration key with its default."""
    return ConfigDict(
        {
            "seed": 0,  # for parameters, dropout and the order of the images
            "batch_size": 128,
            "epochs": 10,
            "steps_per_call": 1,  # steps in one compiled program; more for batches of few images
            "init_from": "",  # export or run whose layers the model starts from
            "init_pattern": ".*",  # regular expression for the names of these layers
            "init_preprocessing": True,  # use the mean and std of that model
            "freeze": "",  # regular expression for the names of layers that are not trained
            "model": {"name": "lenet5"},  # and the options of the model
            "data": {
                "name": "mnist_5k",  # or the TFDS name of a dataset, or folder
                "tfds_dir": "",  # directory of the TFDS datasets; empty for the default
                "image_dir": "",  # folder: one directory a class, or train/, val/ and test/
                "val_fraction": 0.1,  # share of the training set that chooses the best model
                "test_fraction": 0.1,  # folder: share of the test split, if there is no test/
                "on_error": "stop",  # for unreadable image files; or skip
                "num_threads": 0,  # threads that decode image files; 0 for one a core
                "max_pixels": MAX_PIXELS,  # larger image files are not decoded
                "class_order": "natural",  # folder: 9 before 10; or sorted, as ImageFolder
                "reshuffle": True,  # a new order in each epoch
                "resize": 0,  # height and width after resizing; 0 for no resizing
                "grayscale": False,  # image files: one channel instead of three
                "channels": 0,  # copies of a gray image's channel; 3 for color, 0 for one
                "crop": 0,  # height and width of the crop that the model sees; 0 for no crop
                "subtract_mean": "given",  # or channel, pixel: the mean of the training set
                "mean": (0.0,),  # subtracted from pixels 0..255; one number, or one a channel
                "std": (255.0,),  # divides them; one number, or one a channel
            },
            "crop": {  # of image files, which have any size
                "size": 0,  # height and width of the crop; 0 for small images in memory
                "eval_resize": 0,  # shorter side before the center crop of a test; 0: 8/7 size
                "resize_range": (256, 256),  # training: range of the random shorter side
                "center_square": False,  # resize_range: crops of the central square only
                "scale": (),  # instead of resize_range: range of the crop's share of the area
                "ratio": (3 / 4, 4 / 3),  # scale: range of the crop's width over its height
                "interpolation": "bilinear",  # or random: one of four, in training
            },
            "augmentation": {
                "random_affine": 0.0,  # strength of shifts, scaling, squeezing and shearing
                "color_jitter": 0.0,  # largest change of contrast, brightness and color
                "pca_noise": 0.0,  # standard deviation of the principal components' weights
                "pca_scaling": "eigenvalues",  # scale of these; or deviations, as the 2012 code
                "pad_and_crop": 0,  # pixels of zero padding before a random crop
                "flip": False,  # mirrors half of the images
            },
            "loss": {
                "name": "cross_entropy",  # or lenet5_map
                "map_j": 10.0,  # lenet5_map: the constant j
                "aux_weight": 0.3,  # weight of the loss of each auxiliary head
            },
            "optimizer": {
                "name": "sgd",  # or levenberg_marquardt, for LeNet-5
                "damping": 0.02,  # levenberg_marquardt: added to the curvature
                "curvature_samples": 500,  # levenberg_marquardt: images that estimate the curvature
                "momentum": 0.9,
                "momentum_form": "standard",  # or alexnet: the velocity contains the rate
                "weight_decay": 0.0,  # times the weights, added to the gradient
                "decay_biases": True,
                "bias_lr_mult": 1.0,  # times the rate, for biases
                "grad_accum_steps": 1,  # batches whose mean gradient makes one step
                "ema_decay": 0.0,  # decay of the average of the parameters; 0 for no average
            },
            "schedule": {
                "name": "cosine",  # constant, one_cycle, exponential, piecewise, plateau
                "lr": 0.01,  # initial or highest rate
                "boundaries": (),  # piecewise: epochs at which the rate changes
                "decay_factors": (),  # piecewise: the rate from then on, in multiples of lr
                "factor": 0.1,  # plateau, exponential: multiplies the rate
                "decay_epochs": 8.0,  # exponential: epochs between two decays
                "patience": 5,  # plateau: epochs without a better model before a decay
                "max_drops": 3,  # plateau: most decays
                "warmup": {
                    "epochs": 0.0,  # length of the warm-up
                    "name": "linear",  # rises to lr; constant does not
                    "factor": 0.1,  # initial rate in multiples of lr
                },
            },
            "write_report": True,  # at the end, a page in report/ of the run
            "mesh": {  # a run can resume on another mesh
                "data": 0,  # devices that share each batch; 0 for all devices
                "column": 1,  # devices that share AlexNet's columns: 1 or 2
                "fsdp": False,  # divide large parameters among the devices that share a batch
            },
            "checkpoint": {
                "save_interval_secs": 60.0,  # longest training time that a kill can cost
                "max_to_keep": 2,  # newest checkpoints; the best is kept too
            },
        }
    )


def check(config: ConfigDict) -> None:
    """Raises a UserError for the first invalid value."""
    flat = flatten(config)
    numbers = [key for key, x in flatten(default_config()).items() if type(x) in (int, float)]
    for key, (is_valid, rule) in (dict.fromkeys(numbers, _AT_LEAST_0) | _RULES).items():
        try:
            valid = is_valid(flat[key])
        except (TypeError, ValueError, OverflowError):  # a value of another type
            valid = False
        if not valid:
            raise UserError(f"config.{key} is {flat[key]!r}; it must be {rule}.")
    for key, choices in CHOICES.items():
        if (value := flat[key]) not in choices:
            raise unknown(f"config.{key}", value, choices, NEW_VALUES.get((key, value), ""))
    boundaries, factors = flat["schedule.boundaries"], flat["schedule.decay_factors"]
    if len(boundaries) != len(factors):
        raise UserError(
            f"config.schedule.boundaries has {counted(len(boundaries), 'epoch')} and "
            f"config.schedule.decay_factors {len(factors)}; give a factor for each."
        )
    _check_layer_patterns(flat)
    _check_image_files(flat)


def _check_image_files(flat: Mapping[str, Any]) -> None:
    """Raises a UserError for a folder without effect, or crops larger than the image."""
    if flat["data.image_dir"] and flat["data.name"] != "folder":
        raise UserError(
            f"config.data.image_dir is {flat['data.image_dir']!r}, but config.data.name "
            f"{flat['data.name']!r} uses no folder; give the recipe `folder` of a config "
            "file, such as configs/resnet50.py:folder, or --config.data.name=folder."
        )
    shorter_sides = {"eval_resize": flat["crop.eval_resize"] or math.inf}
    if not flat["crop.scale"]:
        shorter_sides["resize_range"] = flat["crop.resize_range"][0]
    size = flat["crop.size"]
    for key, shorter_side in shorter_sides.items():
        if size > shorter_side:
            raise UserError(
                f"config.crop.size is {size}, but config.crop.{key} makes the shorter side of "
                f"images {shorter_side}; give it at least {size}."
            )


def _check_layer_patterns(flat: Mapping[str, Any]) -> None:
    """Raises a UserError for options of `init_from` or `freeze` that have no effect."""
    defaults = default_config()
    for key in ("init_pattern", "init_preprocessing"):
        if not flat["init_from"] and flat[key] != defaults[key]:
            raise UserError(
                f"config.{key} is {flat[key]!r}, but config.init_from, the source of the layers, "
                f"is empty; give --config.init_from=DIR, or leave config.{key} out."
            )
    if flat["freeze"] and flat["optimizer.name"] == "levenberg_marquardt":
        raise UserError(
            f"config.freeze is {flat['freeze']!r}, but config.optimizer.name is "
            "'levenberg_marquardt', which trains all layers; choose sgd."
        )


def split_spec(spec: str) -> tuple[str, str]:
    """Returns the path and the recipe of `PATH` or `PATH:RECIPE`; the path may have colons."""
    path, colon, recipe = spec.rpartition(":")
    return (path, recipe) if colon and os.sep not in recipe else (spec, "")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a nested configuration by dotted key; an empty section is a value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _all_finite(values: Any) -> bool:
    return all(isinstance(value, Real) and math.isfinite(value) for value in values)


def _is_per_channel(values: Any) -> bool:
    return len(values) > 0 and _all_finite(values)


def _is_range(values: Any, most: float = math.inf) -> bool:
    """Returns whether `values` are two numbers above 0 and at most `most`, the lower first."""
    low, high = values
    return _all_finite(values) and 0 < low <= high <= most


_Rule = tuple[Callable[[Any], bool], str]

_INT32_MAX = 2**31 - 1
_COUNT: _Rule = (lambda value: 1 <= value <= _INT32_MAX, f"from 1 to {_INT32_MAX}")
_COUNT_OR_0: _Rule = (lambda value: 0 <= value <= _INT32_MAX, f"from 0 to {_INT32_MAX}")
_AT_LEAST_0: _Rule = (lambda value: 0 <= value < math.inf, "at least 0 and finite")
_AT_LEAST_1: _Rule = (lambda value: value >= 1, "at least 1")
_ABOVE_0: _Rule = (lambda value: 0 < value < math.inf, "greater than 0 and finite")
_SHARE: _Rule = (lambda value: 0 <= value < 1, "from 0 to below 1")

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("seed", "data.num_threads"), _COUNT_OR_0),
    **dict.fromkeys(("batch_size", "epochs", "steps_per_call"), _COUNT),
    **dict.fromkeys(("data.max_pixels", "optimizer.curvature_samples"), _AT_LEAST_1),
    **dict.fromkeys(("optimizer.grad_accum_steps", "schedule.patience"), _AT_LEAST_1),
    **dict.fromkeys(("optimizer.damping", "schedule.lr", "schedule.decay_epochs"), _ABOVE_0),
    **dict.fromkeys(("data.val_fraction", "data.test_fraction"), _SHARE),
    **dict.fromkeys(("optimizer.momentum", "optimizer.ema_decay"), _SHARE),
    "checkpoint.max_to_keep": _AT_LEAST_1,
    "data.mean": (_is_per_channel, "finite numbers, one or one a channel"),
    "data.std": (
        lambda values: _is_per_channel(values) and all(values),
        "finite numbers other than 0, one or one a channel",
    ),
    "crop.resize_range": (
        lambda values: _is_range(values) and all(isinstance(x, int) for x in values),
        "two whole numbers of pixels, the lower first",
    ),
    "crop.scale": (
        lambda values: not values or _is_range(values, 1),
        "empty, or two numbers above 0 and at most 1, the lower first",
    ),
    "crop.ratio": (_is_range, "two numbers above 0, the lower first"),
    "augmentation.color_jitter": (lambda value: 0 <= value <= 1, "from 0 to 1"),
    "loss.map_j": (math.isfinite, "finite"),
    "schedule.boundaries": (
        lambda values: _all_finite(values) and sorted(values) == list(values),
        "epochs, the earlier first",
    ),
    "schedule.decay_factors": (_all_finite, "finite numbers"),
    "schedule.factor": (lambda value: 0 < value < 1, "between 0 and 1"),
    "mesh.column": (lambda value: value in (1, 2), "1, or 2 for AlexNet's columns"),
}
"""Predicates of values, with the rule in words; all other numbers are at least 0 and finite."""

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
