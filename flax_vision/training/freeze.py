"""Layers that keep their parameters, and the statistics of their batch normalization."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.errors import UserError

Layer = tuple[str, ...]
"""Names from the network down to a layer that has parameters of its own."""

_NEAREST = 5


def frozen_layers(pattern: str, params: Mapping[str, Any]) -> frozenset[Layer]:
    """Returns the layers that a pattern matches.

    A layer is matched by its whole name, with those that it lies in before it and a slash between
    (`conv2_1/bn1`), or where one that it lies in is matched so (`conv2_1`).

    Args:
      pattern: regular expression; empty for none.
      params: of the network, or their shapes and types.

    Raises:
      UserError: it is no regular expression, or matches nothing, or everything.
    """
    if not pattern:
        return frozenset()
    layers = {path[:-1] for path in flatten_dict(dict(params))}
    try:
        found = {
            layer for layer in layers if any(re.fullmatch(pattern, name) for name in _names(layer))
        }
    except re.error as error:
        raise UserError(
            f"config.freeze is {pattern!r}, which is no regular expression ({error})."
        ) from error
    if not found:
        names = sorted({name for layer in layers for name in _names(layer)})
        nearest = difflib.get_close_matches(pattern, names, n=_NEAREST, cutoff=0.3)
        raise UserError(
            f"config.freeze is {pattern!r}, and no layer has such a name; "
            f"{'the nearest are' if nearest else 'some are'} "
            f"{', '.join(nearest or names[:_NEAREST])}. A name is matched whole: conv.* for all "
            "that begin with conv."
        )
    if found == layers:
        raise UserError(
            f"config.freeze is {pattern!r}, which matches every layer, so that nothing would be "
            "trained; leave some out, such as the last one with (?!fc).*"
        )
    return frozenset(found)


def _names(layer: Layer) -> Iterator[str]:
    """Yields the names by which a layer can be matched: its own, and those that it lies in."""
    for end in range(1, len(layer) + 1):
        yield "/".join(layer[:end])


def trained(params: Any, frozen: frozenset[Layer]) -> Any:
    """Returns the parameters of the layers that are not frozen."""
    if not frozen:
        return params
    flat = flatten_dict(params)
    return unflatten_dict({path: x for path, x in flat.items() if path[:-1] not in frozen})


def merge_params(tree: Any, part: Any) -> Any:
    """Returns a tree of dictionaries with the arrays of another in the place of its own."""
    return unflatten_dict(flatten_dict(tree) | flatten_dict(part))


def frozen_collection(frozen: frozenset[Layer]) -> dict[str, Any]:
    """Returns the collection `frozen`, by which layers know that they are: see `BatchNorm`."""
    return unflatten_dict({(*layer, "statistics"): True for layer in frozen})
