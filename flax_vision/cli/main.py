"""The program `flax-vision`: parses its arguments and runs one command."""

import argparse
import math
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

from flax_vision.cli import (
    bench,
    compare,
    evaluate,
    export,
    import_weights,
    lr_find,
    models,
    paper,
    predict,
    prepare,
    profile,
    report,
    summary,
    sweep,
    train,
)
from flax_vision.cli.arguments import Parser, join_overrides, print_user_error, split_overrides
from flax_vision.cli.imports import add_import, import_modules, with_imports_last
from flax_vision.errors import UserError, unknown
from flax_vision.runtime import environment
from flax_vision.runtime.terminal import configure_streams, print_error
from flax_vision.training.signals import SIGNALED, stop_at_once_on_ctrl_c

_GROUPS = {
    "Models": (models, summary, import_weights),
    "Data": (prepare,),
    "Training": (train, sweep, lr_find, report, compare),
    "Trained models": (evaluate, predict, export),
    "Speed": (bench, profile),
    "Papers": (paper,),
}
"""Modules of the commands by subject. The docstring of each is the help page of the command."""


def _name(module: ModuleType) -> str:
    """Returns the name of a module's command."""
    return module.__name__.rpartition(".")[2].replace("_", "-")


_COMMANDS = {_name(module): module for modules in _GROUPS.values() for module in modules}
_TRAIN = _name(train)
"""Command that parses its arguments itself, as train.py does."""

_WITHOUT_DEVICES = (_name(models), _name(prepare))
"""The commands that need no device of JAX."""

_RESUMABLE = (_name(prepare), _name(sweep), _name(paper))
"""The commands that resume where they were stopped."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status.

    The status is 0, or 1 for a command that did only some of its work, or 2 for a mistake of the
    user.
    """
    is_program = arguments is None
    words = with_imports_last(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == [_TRAIN]:
        return train.run(words[1:], f"flax-vision {_TRAIN}", is_program)
    try:
        if is_program:
            _handle_ctrl_c(words)
            if not configure_streams():
                raise UserError("standard output is closed; redirect it to a file or to /dev/null.")
        _check_command(words)
        options, rest = _parser().parse_known_args(join_overrides(words))
        if "overrides" in options:
            options.overrides, rest = split_overrides(rest)
        options.parser.check_unknown(rest)
        if is_program and _compiles(options):
            environment.configure_process(has_steps=options.command != "summary")
        if options.command == "summary" and options.mesh:
            environment.emulate_devices(math.prod(options.mesh.values()))
        import_modules(options.imports)  # may import JAX
        if options.command not in _WITHOUT_DEVICES:
            environment.check_platforms()
        status = options.run(options) or 0
        if is_program and status > SIGNALED:
            train.exit_at_once(status)
        return status
    except UserError as error:
        print_user_error(error)
        return 2
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has enough
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        print_error(f"{str(error.filename)!r}: {error.strerror}")
        return 2


def _handle_ctrl_c(words: Sequence[str]) -> None:
    """Makes Ctrl-C end the process at once; commands that can resume say so."""
    if words and words[0] in _RESUMABLE:
        stop_at_once_on_ctrl_c()
    else:
        environment.handle_ctrl_c(signal.SIG_DFL)


def _check_command(words: Sequence[str]) -> None:
    """Raises a UserError if the first argument is neither a command nor `--help`."""
    first = words[0] if words else "--help"
    if first.startswith("-") and first not in ("-h", "--help"):
        raise UserError(f"{first!r} is before the command; see `flax-vision --help`.")
    if not first.startswith("-") and first not in _COMMANDS:
        raise unknown("command", first, _COMMANDS)


def _parser() -> Parser:
    parser = Parser(
        prog="flax-vision",
        usage="flax-vision [-h] [--import MODULE] COMMAND ...",
        description="The models of five papers, LeNet-5 to ResNet.",
        epilog=_command_list(),
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="flax-vision", help=argparse.SUPPRESS
    )
    for name, module in _COMMANDS.items():
        if name == _TRAIN:
            continue
        first_line, _, rest = (module.__doc__ or "").partition("\n\n")
        command = commands.add_parser(name, description=first_line, epilog=rest)
        module.add_arguments(command)
        add_import(command)
        command.set_defaults(run=module.run, parser=command)
        command.siblings = commands.choices.values()
    return parser


def _command_list() -> str:
    """Returns a line for each command, by subject."""
    width = max(map(len, _COMMANDS))
    lines = []
    for title, modules in _GROUPS.items():
        lines += ["", f"{title}:"]
        for name in map(_name, modules):
            summary_line = (_COMMANDS[name].__doc__ or "").partition("\n")[0]
            lines.append(f"  {name:{width}}  {summary_line}")
    return "\n".join([*lines, "", "`flax-vision COMMAND --help` shows the arguments of a command."])


def _compiles(options: argparse.Namespace) -> bool:
    """Returns whether the command compiles programs, and so needs a configured process."""
    if options.command == "summary":
        return options.mesh is not None
    if options.command == _name(paper):
        return options.item is not None or options.all
    return options.command not in _WITHOUT_DEVICES
