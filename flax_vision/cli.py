"""The program `flax-vision`."""

import argparse
import sys
from collections.abc import Sequence

from flax_vision.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0, or 2 for a mistake of the user's."""
    parser = argparse.ArgumentParser(
        prog="flax-vision",
        description="The networks of five papers, LeNet-5 to ResNet. To train one: "
        "`python train.py --help`.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    models = commands.add_parser("models", help="list the networks")
    models.add_argument("pattern", nargs="?", help="only the names that match, such as 'lenet5*'")
    models.set_defaults(run=_models)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _models(options: argparse.Namespace) -> None:
    from flax_vision.models.registry import list_models

    names = list_models(options.pattern)
    if not names:
        raise UserError(
            f"no network matches {options.pattern!r}; valid: {', '.join(list_models())}"
        )
    print("\n".join(names))
