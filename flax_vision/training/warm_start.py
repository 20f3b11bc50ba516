"""Layers that begin with the parameters of another network, trained before.

VGG's deeper networks begin with the first four convolutions and the fully connected layers of
configuration A (Simonyan and Zisserman 2014, section 3.1).
"""

import re
from collections.abc import Mapping
from typing import Any

import jax

from flax_vision.errors import UserError
from flax_vision.weights import exported


def layers_of(path: str, pattern: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the layers of a trained network that a new one is to begin with.

    Args:
      path: an export directory, or a run directory that has one.
      pattern: regular expression of the names of the layers, whole.
      params: of the new network, or their shapes and types.

    Raises:
      UserError: there is no export, no layer has such a name, the new network does not have it, or
        has it in another shape.
    """
    model, variables = exported.load(path)
    del model
    try:
        found = {name: x for name, x in variables["params"].items() if re.fullmatch(pattern, name)}
    except re.error as error:
        raise UserError(
            f"config.init_layers is {pattern!r}, which is no regular expression ({error})."
        ) from error
    if not found:
        raise UserError(
            f"config.init_layers is {pattern!r}, and no layer in {path} has such a name: "
            f"{', '.join(variables['params'])}."
        )
    for name, layer in found.items():
        there, here = _shapes(layer), _shapes(params.get(name, {}))
        if there != here:
            raise UserError(
                f"layer {name!r} in {path} has {there}, and the network has "
                f"{here or 'no such layer'}; choose others with config.init_layers, such as "
                f"'conv1_1|fc.*', or another config.init_from."
            )
    return found


def _shapes(layer: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(layer)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x.shape for path, x in leaves}
