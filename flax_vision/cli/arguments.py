"""What a person types after the options of a command, as values."""

import argparse
import json
import math
from collections.abc import Sequence
from typing import Any

from flax_vision.errors import UserError, unknown
from flax_vision.runtime.mesh import COLUMN, DATA

AXES = (DATA, COLUMN)
"""The axes of a mesh, as `sharding.make_mesh` has them."""

MOST_DEVICES = 1024
"""That are emulated."""


def positive(text: str) -> int:
    """Returns a whole number of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """Returns a time."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds greater than 0")
    return number


def model_options(texts: Sequence[str]) -> dict[str, Any]:
    """Returns the options of a network from texts such as `shortcut=A`.

    Raises:
      UserError: a text is not of that form, or the name of the network is among them.
    """
    found = dict(_option(text) for text in texts)
    if "name" in found:
        raise UserError("--options has name; give NAME for it.")
    return found


def image_size(text: str | None) -> tuple[int, int] | None:
    """Returns the height and width of images from `N` or `HxW`.

    Raises:
      UserError: the text is neither.
    """
    if text is None:
        return None
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise UserError(
            f"--image-size is {text!r}; give one number or HxW, such as 224 or 224x320."
        )
    return int(sides[0]), int(sides[-1])


def mesh_axes(text: str) -> dict[str, int]:
    """Returns the devices along each axis of a mesh, from a text such as `data=2,column=2`.

    Raises:
      UserError: the text is not of that form, an axis does not exist or comes twice, or there are
        more devices than are emulated.
    """
    given: dict[str, int] = {}
    for part in text.split(","):
        axis, equals, size = part.partition("=")
        if not equals or not size.isdecimal() or not int(size):
            raise UserError(
                f"--mesh is {text!r}, of which {part!r} is not AXIS=N with a whole number of at "
                "least 1; give for example column=2 or data=2,column=2."
            )
        if axis not in AXES:
            raise unknown("axis of --mesh", axis, AXES)
        if axis in given:
            raise UserError(f"--mesh is {text!r}, which has the axis {axis!r} twice; give it once.")
        given[axis] = int(size)
    devices = math.prod(given.values())
    if devices > MOST_DEVICES:
        raise UserError(
            f"--mesh is {text!r}, which takes {devices:,} devices; at most {MOST_DEVICES:,} are "
            "emulated."
        )
    return given


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--options {text!r} is not KEY=VALUE, such as shortcut=A.")
    try:
        return key, json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return key, value
