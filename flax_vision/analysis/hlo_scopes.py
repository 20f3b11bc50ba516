"""Finds the layer of a model that an instruction of a compiled program belongs to."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import jax

OUTSIDE = "(loss, update, input)"

_REMAT = ("checkpoint", "rematted_computation")
"""Names that JAX adds in the backward pass of a recomputed segment."""


class OpScope(NamedTuple):
    """Origin of an instruction.

    Attributes:
      layer: Name of the layer, or `OUTSIDE`.
      operation: JAX's name of the operation.
      is_backward: Whether it belongs to the backward pass.
    """

    layer: str
    operation: str
    is_backward: bool


def parse_op_name(name: str, model: str) -> OpScope:
    """Parses a name such as `jit(f)/transpose(jvp(VGG))/conv1_1/add`.

    Args:
      name: The `op_name` of the instruction.
      model: Name of the model's class.
    """
    *parts, operation = name.split("/")
    is_backward = "transpose(" in name
    inside = [i for i, part in enumerate(parts) if re.fullmatch(rf"(\w+\()*{model}\)*", part)]
    if not inside:  # XLA numbers its own instructions
        return OpScope(OUTSIDE, re.sub(r"\.\d+$", "", operation), is_backward)
    # Names of methods of the model have a dot.
    path = [part for part in parts[inside[-1] + 1 :] if not re.search(r"[.()]", part)]
    layers = [part for part in path if part not in _REMAT]
    return OpScope(layers[0] if layers else "(between layers)", operation, is_backward)


@contextmanager
def keep_op_names() -> Iterator[None]:
    """Makes JAX's compilation cache distinguish programs by the names of their instructions.

    Without this the cache may return an equal program with other names.
    """
    setting = "jax_compilation_cache_include_metadata_in_key"
    before = getattr(jax.config, setting)
    jax.config.update(setting, True)
    try:
        yield
    finally:
        jax.config.update(setting, before)
