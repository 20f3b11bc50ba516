"""The program `flax-vision`: parses its arguments and runs one command."""

import argparse
import signal
import sys
from collections.abc import Sequence

from flax_vision.cli import (
    bench,
    evaluate,
    export,
    import_weights,
    lr_find,
    models,
    predict,
    profile,
    report,
    summary,
)
from flax_vision.cli.arguments import Parser, join_overrides, split_overrides
from flax_vision.errors import UserError
from flax_vision.runtime import environment
from flax_vision.runtime.terminal import configure_streams, print_error

_COMMANDS = (
    *(models, summary, bench, profile, lr_find),
    *(evaluate, import_weights, predict, report, export),
)
"""Modules of the commands. The docstring of each is the help page of the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status.

    The status is 0, or 1 for a command that did only some of its work, or 2 for a mistake of the
    user.
    """
    try:
        is_program = arguments is None
        if is_program:
            environment.handle_ctrl_c(signal.SIG_DFL)  # there is no state to save
            if not configure_streams():
                raise UserError("standard output is closed; redirect it to a file or to /dev/null.")
        given = join_overrides(sys.argv[1:] if arguments is None else arguments)
        options, rest = _parser().parse_known_args(given)
        if "overrides" in options:
            options.overrides, rest = split_overrides(rest)
        options.parser.check_unknown(rest)
        if is_program and _compiles(options):
            environment.configure_process(has_steps=options.command != "summary")
        if options.command not in ("models", "summary"):  # summary may emulate its devices first
            environment.check_platforms()
        return options.run(options) or 0
    except UserError as error:
        print_error(error)
        return 2
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has enough
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        print_error(f"{str(error.filename)!r}: {error.strerror}")
        return 2


def _parser() -> Parser:
    parser = Parser(
        prog="flax-vision",
        description="The models of five papers, LeNet-5 to ResNet. To train one: "
        "`python train.py --help`.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        first_line, _, rest = (module.__doc__ or "").partition("\n\n")
        command = commands.add_parser(name, help=first_line, description=first_line, epilog=rest)
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command)
    return parser


def _compiles(options: argparse.Namespace) -> bool:
    """Returns whether the command compiles programs, and so needs a configured process."""
    if options.command == "summary":
        return options.mesh is not None
    return options.command != "models"
