"""Defaults of a configuration, and checks of its values."""

import math
import os
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from flax_vision.data.flags import HUGGING_FACE
from flax_vision.errors import UserError, unknown
from flax_vision.text import counted
from flax_vision.training.config_combinations import check_combinations
from flax_vision.training.config_keys import KEYS
from flax_vision.training.config_rules import AT_LEAST_0
from flax_vision.training.config_values import STORED_FORMS
from flax_vision.training.renamed_keys import NEW_VALUES

INIT_FROM = "init_from"
DATA_PATHS = ("data.tfds_dir", "data.image_dir", "data.labels")
PATH_KEYS = (INIT_FROM, *DATA_PATHS)
"""Keys with a path as their value."""


def default_config() -> ConfigDict:
    """Returns every configuration key with its default."""
    tree: dict[str, Any] = {}
    for key, entry in KEYS.items():
        *sections, name = key.split(".")
        section = tree
        for title in sections:
            section = section.setdefault(title, {})
        section[name] = entry.default
    return ConfigDict(tree)


def check(config: ConfigDict) -> None:
    """Raises a UserError for the first invalid value."""
    flat = flatten(config)
    for key, entry in KEYS.items():
        value = flat[key]
        if entry.choices and value not in entry.choices:
            choice = NEW_VALUES.get((key, value), "")
            raise unknown(f"config.{key}", value, entry.choices, choice)
        rule = entry.rule or (AT_LEAST_0 if type(entry.default) in (int, float) else None)
        if rule and not rule.accepts(value):
            raise UserError(f"config.{key} is {value!r}; it must be {rule.text}.")
    boundaries, factors = flat["schedule.boundaries"], flat["schedule.decay_factors"]
    if len(boundaries) != len(factors):
        raise UserError(
            f"config.schedule.boundaries has {counted(len(boundaries), 'epoch')} and "
            f"config.schedule.decay_factors {len(factors)}; give a factor for each."
        )
    _check_layer_patterns(flat)
    _check_image_files(flat)
    check_combinations(flat)
    _check_mixing(flat)
    _check_early_end(flat)


def _check_image_files(flat: Mapping[str, Any]) -> None:
    """Raises a UserError for a folder without effect, or crops larger than the image."""
    if flat["data.image_dir"] and flat["data.name"] != "folder":
        raise UserError(
            f"config.data.image_dir is {flat['data.image_dir']!r}, but config.data.name "
            f"{flat['data.name']!r} uses no folder; give the recipe `folder` of a config "
            "file, such as configs/resnet50.py:folder, or --config.data.name=folder."
        )
    _check_label_table(flat)
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


def _check_label_table(flat: Mapping[str, Any]) -> None:
    """Raises a UserError for keys of a table of labels that have no effect."""
    if flat["data.labels"] and flat["data.name"] != "folder":
        raise UserError(
            f"config.data.labels is {flat['data.labels']!r}, which labels images of a folder, but "
            f"config.data.name is {flat['data.name']!r}; give --config.data.name=folder and "
            "--config.data.image_dir=DIR."
        )
    has_columns = flat["data.labels"] or flat["data.name"].startswith(HUGGING_FACE)
    for key in ("data.image_column", "data.label_column"):
        if flat[key] and not has_columns:
            raise UserError(
                f"config.{key} is {flat[key]!r}, but there is no table; give "
                f"--config.data.labels=FILE or --config.data.name={HUGGING_FACE}PATH, or leave "
                f"config.{key} out."
            )


def _check_mixing(flat: Mapping[str, Any]) -> None:
    """Raises a UserError for batches in which an image has no other to be mixed with."""
    for key in ("augmentation.mixup", "augmentation.cutmix"):
        if flat[key] and flat["batch_size"] == 1:
            raise UserError(
                f"config.{key} is {flat[key]}, but config.batch_size is 1, and an image is mixed "
                f"with another one of its batch; give a batch_size from 2, or --config.{key}=0."
            )


def _check_early_end(flat: Mapping[str, Any]) -> None:
    """Raises a UserError for settings of `stop.patience` without it."""
    for key in ("stop.metric", "stop.min_delta"):
        if flat[key] != KEYS[key].default and not flat["stop.patience"]:
            raise UserError(
                f"config.{key} is {flat[key]!r}, but config.stop.patience is 0, which ends no run; "
                f"give --config.stop.patience=10, or leave config.{key} out."
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
        is_section = (
            isinstance(value, Mapping | ConfigDict) and f"{prefix}{key}" not in STORED_FORMS
        )
        if is_section and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
