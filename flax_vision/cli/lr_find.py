"""Finds a learning rate by a range test, and draws its curve.

The model trains for some steps while the rate rises exponentially. The optimizer, the batches and
the augmentation are those in the config file. There is no run directory. The test ends when the
smoothed loss is four times its minimum.

The suggestion is the rate at which the smoothed loss falls fastest. It is a start for trials.

Examples:
  flax-vision lr-find --config lenet5
  flax-vision lr-find --config resnet20:cifar10 --config.batch_size=256 -o curve.png
"""

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from flax_vision.cli.arguments import Parser, add_shared
from flax_vision.cli.console import progress
from flax_vision.cli.output_file import check_picture
from flax_vision.errors import UserError
from flax_vision.runtime.files import expanded_path
from flax_vision.runtime.terminal import print_note
from flax_vision.text import printable

if TYPE_CHECKING:
    from flax_vision.training.lr_finder import RangeTest

_PICTURE = "lr-find.png"


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    file = "config file or its name, and a recipe; --config.KEY=VALUE sets a key"
    add("--config", required=True, type=expanded_path, metavar="CONFIG[:RECIPE]", help=file)
    parser.set_defaults(overrides=[])  # the program puts --config.KEY=VALUE here
    parser.passthrough = ("--config.",)
    add("--min-lr", type=float, default=1e-6, metavar="RATE", help="first rate (default: 1e-6)")
    add("--max-lr", type=float, default=10.0, metavar="RATE", help="last rate (default: 10)")
    add("--steps", type=int, default=100, metavar="N", help="number of rates (default: 100)")
    picture = f".png, .pdf or .svg file for the curve (default: {_PICTURE}, which is replaced)"
    add("-o", "--output", type=expanded_path, metavar="PICTURE", help=picture)
    add("--overwrite", action="store_true", help="replace an existing picture")
    add_shared(parser, "--format", choices=("table", "json"))


def run(options: argparse.Namespace) -> None:
    """Runs the test, draws its curve, and prints the suggestion."""
    picture = Path(options.output or _PICTURE)
    check_picture("--output", picture, options.overwrite or not options.output)
    from flax_vision.analysis.report.figures import lr_curve
    from flax_vision.training.config_loader import load_config
    from flax_vision.training.lr_finder import check_range, find_learning_rate

    arguments = options.min_lr, options.max_lr, options.steps
    check_range(*arguments)
    config = load_config(options.config, options.overrides)
    print_note(
        f"training {config.model.name} with rates from {options.min_lr:g} to {options.max_lr:g}"
    )
    with progress("") as on_progress:
        test = find_learning_rate(config, *arguments, on_progress)
    try:
        lr_curve.draw(test).savefig(picture)
    except OSError as error:
        raise UserError(f"{str(picture)!r} cannot be written ({error.strerror}).") from error
    _print(test, picture, _command(options, test), options.format == "json")


def _command(options: argparse.Namespace, test: "RangeTest") -> str:
    rate = f"--config.schedule.lr={test.suggestion:.2g}"
    return shlex.join(["flax-vision", "train", options.config, *options.overrides, rate])


def _print(test: "RangeTest", picture: Path, command: str, as_json: bool) -> None:
    if as_json:
        curve = {name: getattr(test, name).tolist() for name in ("rates", "losses", "smoothed")}
        found = {"suggestion": test.suggestion, "command": command, "picture": str(picture)}
        print(json.dumps(found | curve, indent=2))
        return
    print(f"suggestion: {test.suggestion:.2g}, at which the loss falls fastest")
    if test.is_complete:
        print_note("the loss did not diverge; a higher --max-lr shows more of the curve")
    print(f"curve: {printable(picture)}")
    print(f"to train with it: {printable(command)}")
