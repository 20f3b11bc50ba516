"""Help pages of the configuration keys, for `--help` and `--help KEY`."""

import argparse
import shlex
from collections.abc import Sequence
from typing import Any

from flax_vision.cli.arguments import Parser
from flax_vision.training.config_keys import KEYS, SECTIONS, Key
from flax_vision.training.renamed_keys import unknown_key

_TYPES = {bool: "True or False", int: "whole number", float: "number", str: "text", tuple: "tuple"}


class HelpAction(argparse.Action):
    """Prints the help page of the program, of a section or of a key, and exits."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        help_text = "this page, or the page of a configuration key or section"
        super().__init__(
            option_strings, dest, nargs="?", const="", metavar="KEY", help=help_text, **settings
        )

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *values: Any
    ) -> None:
        """Prints the page; a UserError names an unknown key."""
        del namespace
        name = values[0].removeprefix("--").removeprefix("config.")
        parser.print_help() if not name else print(topic_help(name), end="")
        parser.exit()


def add_help(parser: Parser) -> None:
    """Adds `--help`, which takes a key, to a parser without help."""
    parser.add_argument("-h", "--help", action=HelpAction, default=argparse.SUPPRESS)


def keys_help() -> str:
    """Returns the text about all keys, by section."""
    return "\n".join(map(_section_help, SECTIONS))


def topic_help(name: str) -> str:
    """Returns the text about a key or a section.

    Raises:
      UserError: Neither exists.
    """
    if name in KEYS:
        return _key_page(name, KEYS[name])
    if name in SECTIONS:
        return _section_help(name)
    raise unknown_key(name, KEYS)


def _section_help(section: str) -> str:
    keys = {key: entry for key, entry in KEYS.items() if key.rpartition(".")[0] == section}
    lines = [SECTIONS[section]]
    for key, entry in keys.items():
        lines += [f"  {key} = {entry.default!r}  ({_type_name(entry)})", f"      {entry.meaning}"]
    return "\n".join(lines) + "\n"


def _key_page(name: str, entry: Key) -> str:
    value = entry.default if entry.example is None else entry.example
    text = value if isinstance(value, str) and value else repr(value)
    argument = shlex.quote(f"--config.{name}={text}")
    rule = f"; {entry.rule.text}" if entry.rule else ""
    return (
        f"config.{name}\n  {entry.meaning}\n"
        f"  type:     {_type_name(entry)}{rule}\n"
        f"  default:  {entry.default!r}; a config file may set another\n"
        f"  example:  {argument}\n"
    )


def _type_name(entry: Key) -> str:
    return " or ".join(entry.choices) or _TYPES[type(entry.default)]
