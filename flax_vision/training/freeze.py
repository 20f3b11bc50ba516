"""Frozen layers, which keep their parameters and batch statistics."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.errors import UserError

Layer = tuple[str, ...]
"""Path of a layer with parameters: the names from the outermost module to it."""

_MAX_LISTED = 5


def frozen_layers(pattern: str, params: Mapping[str, Any]) -> frozenset[Layer]:
    """Returns the layers that match a pattern.

    The pattern must match the layer's whole path with slashes (`conv2_1/bn1`), or the path of a
    module that contains it (`conv2_1`).

    Args:
      pattern: Regular expression; empty for no layer.
      params: Parameters of the model, or their shapes and types.

    Raises:
      UserError: The pattern is no regular expression, or matches no layer or all layers.
    """
    if not pattern:
        return frozenset()
    names = {path[:-1]: _names(path[:-1]) for path in flatten_dict(dict(params))}
    regex = compile_pattern("freeze", pattern)
    found = {layer for layer in names if any(map(regex.fullmatch, names[layer]))}
    if not found:
        valid = sorted({name for layer in names.values() for name in layer})
        nearest = difflib.get_close_matches(pattern, valid, n=_MAX_LISTED, cutoff=0.3)
        raise UserError(
            f"config.freeze is {pattern!r}, and no layer has such a name; "
            f"{'the nearest are' if nearest else 'some are'} "
            f"{', '.join(nearest or valid[:_MAX_LISTED])}. The pattern must match the whole name: "
            "conv.* for all that begin with conv."
        )
    if len(found) == len(names):
        raise UserError(
            f"config.freeze is {pattern!r}, which matches every layer and leaves nothing to train; "
            "exclude some, such as the last one with (?!fc).*"
        )
    return frozenset(found)


def compile_pattern(key: str, pattern: str) -> re.Pattern[str]:
    """Compiles the regular expression of a configuration key, or raises a UserError."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"config.{key} is {pattern!r}, which is no regular expression ({error})."
        ) from error


def _names(layer: Layer) -> list[str]:
    """Returns the paths of a layer and of the modules that contain it."""
    return ["/".join(layer[:end]) for end in range(1, len(layer) + 1)]


def trainable_params(params: Any, frozen: frozenset[Layer]) -> Any:
    """Returns the parameters of the layers that are not frozen."""
    if not frozen:
        return params
    flat = flatten_dict(params)
    return unflatten_dict({path: x for path, x in flat.items() if path[:-1] not in frozen})


def merge_params(tree: Any, updates: Any) -> Any:
    """Returns a tree of dictionaries, updated with the arrays of another."""
    return unflatten_dict(flatten_dict(tree) | flatten_dict(updates))


def frozen_collection(frozen: frozenset[Layer]) -> dict[str, Any]:
    """Returns the collection `frozen`, which tells each `BatchNorm` that it is frozen."""
    return unflatten_dict({(*layer, "statistics"): True for layer in frozen})
