"""Help pages of the configuration keys, for `--help` and `--help KEY`."""

import argparse
import inspect
import re
import shlex
import textwrap
import typing
from collections.abc import Sequence
from typing import Any

from flax_vision.cli.arguments import Parser
from flax_vision.models.catalog import CATALOG
from flax_vision.training.config_keys import KEYS, SECTIONS, Key
from flax_vision.training.renamed_keys import unknown_key

_TYPES = {bool: "True or False", int: "whole number", float: "number", str: "text", tuple: "tuple"}


class HelpAction(argparse.Action):
    """Prints the help page of the program, of a section, a key or a model, and exits."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        help_text = "this page, or the page of a configuration key, a section or a model"
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
    """Returns the text about a key, a section or a model.

    Raises:
      UserError: None of them exists.
    """
    if name in KEYS:
        return _key_page(name, KEYS[name])
    if name in SECTIONS:
        return _section_help(name)
    if name in CATALOG:
        return f"The options of {name}\n" + "\n".join(_model_options(name).values()) + "\n"
    if name.startswith("model.") and (page := _option_page(name)):
        return page
    raise unknown_key(name, KEYS)


def _option_page(key: str) -> str:
    """Returns the text about an option of models; empty if no model has it."""
    models = {name: _model_options(name) for name in CATALOG}
    pages = {name: options[key] for name, options in models.items() if key in options}
    if not pages:
        return ""
    longest = max(pages.values(), key=len)  # some models describe the option, others do not
    return "\n".join([longest, *_indented(f"Models: {', '.join(pages)}."), ""])


def _model_options(name: str) -> dict[str, str]:
    """Returns the text about each option of a model, by its key."""
    from flax_vision.models.registry import find_variant, model_options  # imports JAX

    model = find_variant(name).model_class
    entries = re.findall(r"^  (\w+): (.*?)(?=^  \w|\Z)", inspect.getdoc(model) or "", re.M | re.S)
    meanings = {option: " ".join(text.split()) for option, text in entries}
    hints = typing.get_type_hints(model)
    texts = {}
    for option, default in model_options(name).items():
        default = getattr(default, "__name__", default)  # a dtype
        is_choice = typing.get_origin(hints[option]) is typing.Literal
        choices = typing.get_args(hints[option]) if is_choice else ()
        kind = " or ".join(map(str, choices)) or _TYPES[type(default)]
        texts[f"model.{option}"] = "\n".join(
            [f"  model.{option} = {default!r}  ({kind})", *_indented(meanings.get(option, ""))]
        )
    return texts


def _indented(text: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(text, 92, initial_indent=indent, subsequent_indent=indent)


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
