"""Conversion of some configuration values to the form in which they are stored."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict


def _factors_by_pattern(value: Any) -> Any:
    """Returns pairs of a pattern and a number, from a mapping, pairs, or the text of either.

    A ConfigDict cannot have dots in its keys, so the patterns are stored as pairs.
    """
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return value
    if isinstance(value, Mapping | ConfigDict):
        value = value.items()
    try:
        return tuple((pattern, factor) for pattern, factor in value)
    except (TypeError, ValueError):
        return value


def _class_weights(value: Any) -> Any:
    """Returns text such as `1,2,0.5`, from such text or a sequence of numbers."""
    numbers = value.strip("()[] ").rstrip(",").split(",") if isinstance(value, str) else value
    try:
        return ",".join(repr(float(x)).removesuffix(".0") for x in numbers)
    except (TypeError, ValueError):
        return value


def _classes(value: Any) -> Any:
    """Returns a tuple of names, from a sequence of names or numbers, or from text.

    Names with commas need quotes, as in `"'cat, wild', 'cat, tame'"`.
    """
    try:
        if isinstance(value, str):
            is_literal = value.strip()[:1] in ("(", "[", "'", '"')
            value = ast.literal_eval(value) if is_literal else value.split(",") if value else ()
        return tuple(str(name).strip() for name in value)
    except (TypeError, ValueError, SyntaxError):
        return value


STORED_FORMS: dict[str, Callable[[Any], Any]] = {
    "data.classes": _classes,
    "loss.class_weights": _class_weights,
    "optimizer.lr_mult": _factors_by_pattern,
}
"""Functions that convert a value to its stored form, by key; invalid values stay unchanged."""


def stored_form(key: str, value: Any) -> Any:
    """Returns the stored form of a key's value."""
    return STORED_FORMS[key](value) if key in STORED_FORMS else value


def with_stored_forms(config: ConfigDict) -> ConfigDict:
    """Returns a copy of a configuration with its values in their stored form.

    Args:
      config: Configuration; it may lack keys.
    """
    copy = config.copy_and_resolve_references()
    for key, stored in STORED_FORMS.items():
        section, _, name = key.partition(".")
        values = copy.get(section)
        if isinstance(values, ConfigDict) and name in values:
            with values.ignore_type():
                values[name] = stored(values[name])
    return copy
