"""Paths of layers: matching patterns, and the collection of frozen layers."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from flax.traverse_util import unflatten_dict

LayerPath = tuple[str, ...]
"""Path of a layer: the names from the outermost module to it."""


def layer_names(layer: Sequence[str]) -> list[str]:
    """Returns the paths of a layer and of the modules that contain it, with slashes."""
    return ["/".join(layer[:end]) for end in range(1, len(layer) + 1)]


def matches_layer(pattern: str, layer: Sequence[str]) -> bool:
    """Returns whether a regular expression matches a layer.

    The pattern must match the layer's whole path with slashes (`conv2_1/bn1`), or the path of a
    module that contains it (`conv2_1`).

    Args:
      pattern: Regular expression.
      layer: Path of the layer.
    """
    return any(re.fullmatch(pattern, name) for name in layer_names(layer))


def frozen_collection(frozen: Iterable[LayerPath]) -> dict[str, Any]:
    """Returns the collection `frozen`, which tells each `BatchNorm` that it is frozen."""
    return unflatten_dict({(*layer, "statistics"): True for layer in frozen})
