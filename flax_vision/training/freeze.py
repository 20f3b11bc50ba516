"""Layers by pattern, and frozen layers, which keep their parameters and batch statistics."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.errors import UserError
from flax_vision.models.layer_paths import LayerPath, layer_names, matches_layer

Layer = LayerPath
"""Path of a layer with parameters."""

_MAX_LISTED = 5


def frozen_layers(pattern: str, params: Mapping[str, Any]) -> frozenset[Layer]:
    """Returns the layers that match a pattern, as in `matching_layers`.

    Args:
      pattern: Regular expression; empty for no layer.
      params: Parameters of the model, or their shapes and types.

    Raises:
      UserError: The pattern is no regular expression, or matches no layer or all layers.
    """
    if not pattern:
        return frozenset()
    layers = _layers(params)
    found = matching_layers("freeze", pattern, layers)
    if found == layers:
        raise UserError(
            f"config.freeze is {pattern!r}, which matches every layer and leaves nothing to train; "
            "exclude some, such as the last one with (?!fc).*"
        )
    return found


def check_lr_mult(
    factors: Sequence[tuple[str, float]], frozen: frozenset[Layer], params: Mapping[str, Any]
) -> None:
    """Raises a UserError for a pattern without effect on any learning rate.

    Args:
      factors: Pairs of a pattern and the factor of its layers' rate; the first match counts.
      frozen: Layers that are not trained.
      params: Parameters of the model, or their shapes and types.
    """
    layers = _layers(params)
    left = layers - frozen
    for pattern, _ in factors:
        found = matching_layers("optimizer.lr_mult", pattern, layers)
        if not found & left:
            raise UserError(
                f"config.optimizer.lr_mult has {pattern!r}, and all its layers are frozen or match "
                "an earlier pattern; leave it out, or give it first."
            )
        left -= found


def matching_layers(key: str, pattern: str, layers: Collection[Layer]) -> frozenset[Layer]:
    """Returns the layers that match a pattern.

    The pattern must match the layer's whole path with slashes (`conv2_1/bn1`), or the path of a
    module that contains it (`conv2_1`).

    Args:
      key: Configuration key of the pattern, for messages.
      pattern: Regular expression.
      layers: All layers.

    Raises:
      UserError: The pattern is no regular expression, or matches no layer.
    """
    compile_pattern(key, pattern)
    if found := frozenset(layer for layer in layers if matches_layer(pattern, layer)):
        return found
    valid = sorted({name for layer in layers for name in layer_names(layer)})
    nearest = difflib.get_close_matches(pattern, valid, n=_MAX_LISTED, cutoff=0.3)
    raise UserError(
        f"config.{key} is {pattern!r}, and no layer has such a name; "
        f"{'the nearest are' if nearest else 'some are'} "
        f"{', '.join(nearest or valid[:_MAX_LISTED])}. The pattern must match the whole name: "
        "conv.* for all that begin with conv."
    )


def _layers(params: Mapping[str, Any]) -> frozenset[Layer]:
    return frozenset(path[:-1] for path in flatten_dict(dict(params)))


def compile_pattern(key: str, pattern: str) -> re.Pattern[str]:
    """Compiles the regular expression of a configuration key, or raises a UserError."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"config.{key} is {pattern!r}, which is no regular expression ({error})."
        ) from error


def trainable_params(params: Any, frozen: frozenset[Layer]) -> Any:
    """Returns the parameters of the layers that are not frozen."""
    if not frozen:
        return params
    flat = flatten_dict(params)
    return unflatten_dict({path: x for path, x in flat.items() if path[:-1] not in frozen})


def merge_params(tree: Any, updates: Any) -> Any:
    """Returns a tree of dictionaries, updated with the arrays of another."""
    return unflatten_dict(flatten_dict(tree) | flatten_dict(updates))


def keep_frozen(before: Any, after: Any, frozen: frozenset[Layer]) -> Any:
    """Returns updated collections, in which frozen layers are as before the update.

    A `BatchNorm` of Flax, as in users' models, does not know the collection `frozen`.
    """
    if not frozen:
        return after
    kept = {path: x for path, x in flatten_dict(before).items() if path[1:-1] in frozen}
    return unflatten_dict(flatten_dict(after) | kept)
