"""The argument parser of both programs, argument types, and arguments that commands share."""

import argparse
import difflib
import json
import math
import re
import sys
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

from flax_vision.cli.console import FORMATS
from flax_vision.errors import UserError, unknown
from flax_vision.runtime.files import expanded_path
from flax_vision.runtime.terminal import print_error, print_note

MESH_AXES = ("data", "column")
"""The parameters of `make_mesh`; importing them would import JAX, which takes a second."""

MAX_EMULATED_DEVICES = 1024

MODES = ("training", "inference")


class UsageError(UserError):
    """Raised for an unknown argument.

    Attributes:
      usage: Usage of the command.
    """

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


def print_user_error(error: UserError) -> None:
    """Prints the line of an error, and the usage of the command after an unknown argument."""
    print_error(error)
    for line in error.usage.splitlines() if isinstance(error, UsageError) else ():
        print_note(line)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the usage after an unknown argument.

    Args:
      passthrough: Prefixes of flags that the command parses itself.
      **settings: Settings of argparse's parser.

    Attributes:
      passthrough: Prefixes of flags that the command parses itself.
      siblings: Parsers of all commands of the program, for messages.
    """

    siblings: Collection["Parser"] = ()

    def __init__(self, passthrough: tuple[str, ...] = (), **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)
        self.passthrough = passthrough

    def error(self, message: str) -> NoReturn:
        """Raises a UserError."""
        raise UserError(f"{message}; see `{self.prog} --help`.")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parses arguments; an unknown flag is reported before a missing argument."""
        arguments = list(sys.argv[1:] if args is None else args)
        if self._subparsers is None:
            options = arguments[: arguments.index("--")] if "--" in arguments else arguments
            for option in options:
                self._check_flag(option)
        return super().parse_known_args(arguments, namespace)

    def check_unknown(self, rest: Sequence[str]) -> None:
        """Raises a UsageError about the first unknown argument."""
        for argument in rest:
            self._check_flag(argument)
            self._fail(f"unknown argument {argument!r} of `{self.prog}`.")

    def _check_flag(self, argument: str) -> None:
        """Raises a UsageError if an argument is an unknown flag; it offers the nearest one."""
        flag = argument.partition("=")[0]
        if not re.fullmatch("--[^ ]+", flag) or flag.startswith(self.passthrough or "\n"):
            return
        valid = list(self._option_string_actions)
        if flag in valid or (self.allow_abbrev and any(x.startswith(flag) for x in valid)):
            return
        owners = [f"`{x.prog}`" for x in self.siblings if flag in x._option_string_actions]
        nearest = difflib.get_close_matches(flag, valid, 1, 0.5)
        if owners:
            hint = f"; it belongs to {' and '.join(owners)}."
        else:
            hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        self._fail(f"unknown argument {flag!r} of `{self.prog}`{hint}")

    def _fail(self, message: str) -> NoReturn:
        raise UsageError(message, self.format_usage())


def join_overrides(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with `--config.KEY VALUE` written as `--config.KEY=VALUE`."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"--config\.[^=]+", joined[-1]) and argument[:2] != "--":
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the arguments that set keys of the configuration, and the others."""
    overrides = [argument for argument in arguments if argument.startswith("--config.")]
    return overrides, [argument for argument in arguments if argument not in overrides]


def positive_int(text: str) -> int:
    """Returns a whole number of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def positive_seconds(text: str) -> float:
    """Returns a finite number of seconds greater than 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds greater than 0")
    return number


def image_size(text: str) -> tuple[int, int]:
    """Returns the height and width of images from `N` or `HxW`."""
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no image size; give one number or HxW, such as 224 or 224x320"
        )
    return int(sides[0]), int(sides[-1])


def mesh_axes(text: str) -> dict[str, int]:
    """Returns the number of devices along each axis, from a text such as `data=2,column=2`."""
    axes: dict[str, int] = {}
    for entry in text.split(","):
        axis, _, size = entry.partition("=")
        if not size.isdecimal() or not int(size):
            raise argparse.ArgumentTypeError(
                f"{entry!r} in {text!r} is not AXIS=N with a whole number of at least 1; give for "
                "example column=2 or data=2,column=2"
            )
        if axis not in MESH_AXES:
            raise argparse.ArgumentTypeError(str(unknown("axis", axis, MESH_AXES)).rstrip("."))
        if axis in axes:
            raise argparse.ArgumentTypeError(f"{text!r} has the axis {axis!r} twice; give it once")
        axes[axis] = int(size)
    devices = math.prod(axes.values())
    if devices > MAX_EMULATED_DEVICES:
        raise argparse.ArgumentTypeError(
            f"{text!r} has {devices:,} devices; give at most {MAX_EMULATED_DEVICES:,}"
        )
    return axes


def model_option(text: str) -> tuple[str, Any]:
    """Returns the name and value of a model option from a text such as `shortcut=A`."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, such as shortcut=A")
    if key == "name":
        raise argparse.ArgumentTypeError("name is no option; give the model as NAME")
    try:
        return key, json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return key, value


_COUNT = {"type": positive_int, "metavar": "N"}
_DIRECTORY = {"type": expanded_path, "metavar": "DIR"}
_SHARED: dict[str, dict[str, Any]] = {
    "trained": {**_DIRECTORY, "help": "run or export directory"},
    "--format": {"choices": FORMATS, "default": "table", "help": "default: table"},
    "--mode": {"choices": MODES, "help": "default: both"},
    "--batch-size": {**_COUNT, "help": "images in a step"},
    "--max-pixels": {**_COUNT, "help": "bound on an image's pixels"},
    "--tfds-dir": {**_DIRECTORY, "help": "TFDS data (default: the run's)"},
    "--image-dir": {**_DIRECTORY, "help": "folder of images"},
    "--labels": {
        **{"type": expanded_path, "metavar": "FILE"},
        "help": "CSV file with the labels of the images in the folder (default: the run's); "
        "--labels= if each class has a folder",
    },
    "--overwrite": {"action": "store_true", "help": "replace an existing picture"},
    "--options": {
        **{"type": model_option, "nargs": "+", "action": "extend", "default": []},
        **{"metavar": "KEY=VALUE", "help": "options of the model, such as shortcut=A"},
    },
}


def add_shared(parser: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Adds arguments that several commands have.

    Args:
      parser: Parser of a command.
      *names: Names of the arguments.
      **changes: Settings of `add_argument` that replace the shared ones.
    """
    for name in names:
        parser.add_argument(name, **_SHARED[name] | changes)
