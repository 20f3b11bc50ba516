"""Lists the models with paper, parameters and multiply-adds for one image."""

import argparse

from flax_vision.cli.arguments import add_shared
from flax_vision.cli.console import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("pattern", nargs="?", help="names to list, such as 'vgg*' (default: all)")
    add_shared(parser, "--format")


def run(options: argparse.Namespace) -> None:
    """Prints the table of the models."""
    from flax_vision.models.catalog import find

    rows = [
        {
            "name": name,
            "year": str(entry.paper.year or ""),
            "parameters": entry.parameters,
            "multiply-adds": entry.multiply_adds,
            "paper": entry.paper.title,
        }
        for name, entry in find(options.pattern).items()
    ]
    print_table(rows, options.format)
