"""Which layer of a network an instruction of a compiled program belongs to."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import jax

OUTSIDE = "(loss, update, input)"


class Place(NamedTuple):
    """Where an instruction comes from.

    Attributes:
      layer: of the network, or `OUTSIDE`.
      operation: its name in JAX.
      is_backward: whether it is part of the backward pass.
    """

    layer: str
    operation: str
    is_backward: bool


def place_of(name: str, network: str) -> Place:
    """Returns the place of what JAX calls for example `jit(f)/transpose(jvp(VGG))/conv1_1/add`.

    Args:
      name: the `op_name` of the instruction.
      network: class of the network.
    """
    *parts, operation = name.split("/")
    is_backward = "transpose(" in name
    inside = [i for i, part in enumerate(parts) if re.fullmatch(rf"(\w+\()*{network}\)*", part)]
    if not inside:  # what XLA made has numbers
        return Place(OUTSIDE, re.sub(r"\.\d+$", "", operation), is_backward)
    # Methods of the network are among the parts, with a dot in their name.
    layers = [part for part in parts[inside[-1] + 1 :] if not re.search(r"[.()]", part)]
    return Place(layers[0] if layers else "(between layers)", operation, is_backward)


@contextmanager
def own_names() -> Iterator[None]:
    """Has what is compiled meanwhile keep the names of its own instructions.

    JAX's cache of compiled programs may else give one that is equal but for them.
    """
    setting = "jax_compilation_cache_include_metadata_in_key"
    before = getattr(jax.config, setting)
    jax.config.update(setting, True)
    try:
        yield
    finally:
        jax.config.update(setting, before)
