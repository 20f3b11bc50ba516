"""The option `--import` for modules that register custom models and datasets."""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from flax_vision.errors import UserError

_PACKAGE = Path(__file__).parents[1]


def add_import(parser: argparse.ArgumentParser) -> None:
    """Adds the option to a parser; it may be given several times."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="Python module that registers your models and datasets",
    )


def with_imports_last(words: Sequence[str]) -> list[str]:
    """Returns arguments in which each `--import` before the command is moved to the end."""
    end = 0
    while end < len(words) and words[end].partition("=")[0] == "--import":
        end += 1 if "=" in words[end] else 2
    return [*words[end:], *words[:end]]


def import_modules(names: Sequence[str]) -> None:
    """Imports modules; the current directory is on the path.

    Raises:
      UserError: An import fails; the message names the file and the line.
    """
    directory = os.getcwd()
    if names and directory not in sys.path:
        sys.path.insert(0, directory)
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise UserError(f"--import {name}: {_describe(name, error)}") from error


def _describe(name: str, error: BaseException) -> str:
    """Returns a line about a failed import."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and (name == missing or name.startswith(f"{missing}.")):
        return (
            f"there is no Python module {missing!r} in {os.getcwd()} or among the installed "
            "packages; give the name of a file without .py, or of a package."
        )
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}."
    problem = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_user_code(frame.filename)]
    where = f"{own[-1].filename}, line {own[-1].lineno}: " if own else ""
    return where + " ".join(problem.split())


def _is_user_code(filename: str) -> bool:
    """Returns whether a file is neither ours, nor Python's, nor an installed package's."""
    path = Path(filename)
    is_installed = path.is_relative_to(os.path.dirname(os.__file__)) or "site-packages" in filename
    return path.is_absolute() and not is_installed and not path.is_relative_to(_PACKAGE)
