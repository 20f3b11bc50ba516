"""Trains several settings with several seeds, one run after the other.

Each run has a directory in DIR, named after its settings and its seed. The same command resumes a
stopped sweep: finished runs are kept, and an unfinished run resumes. With other values or seeds, it
trains only the missing runs. If a run fails, the others still run; the table has its error, and the
exit status is 1.

DIR/sweep.json has all results. DIR/sweep.html has the table and the curves of all runs.

Several --set make a grid. A value with commas needs brackets or quotes, as in the third example.
--config.KEY=VALUE sets a key of all runs; --config.write_report=False leaves out their reports.

Examples:
  flax-vision sweep --config lenet5 --seeds 0,1,2 --workdir runs/seeds
  flax-vision sweep --config resnet20:cifar10 --set model.name=resnet20,resnet32 --workdir runs/d
  flax-vision sweep --config lenet5 --set "data.classes=('3','8'),('1','7')" --workdir runs/pairs
"""

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax_vision.cli.arguments import Parser, add_shared
from flax_vision.cli.console import print_table
from flax_vision.errors import UserError
from flax_vision.runtime.files import expanded_path, write_errors
from flax_vision.runtime.terminal import print_note
from flax_vision.weights.run_files import write_file

if TYPE_CHECKING:
    from flax_vision.training.sweep_plan import SweepRun

_BRACKETS = {"(": ")", "[": "]", "{": "}"}


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    file = "config file or its name, and a recipe; --config.KEY=VALUE sets a key of all runs"
    add("--config", required=True, type=expanded_path, metavar="CONFIG[:RECIPE]", help=file)
    parser.set_defaults(overrides=[])  # the program puts --config.KEY=VALUE here
    parser.passthrough = ("--config.",)
    values = "a key of the configuration and its values; several --set make a grid"
    add("--set", action="append", type=_setting, default=[], metavar="KEY=A,B", help=values)
    add("--seeds", type=_seeds, default=[0], metavar="N,N", help="seeds (default: 0)")
    add("--workdir", required=True, type=expanded_path, metavar="DIR", help="sweep directory")
    add_shared(parser, "--format")


def run(options: argparse.Namespace) -> int:
    """Trains, prints the table and writes the page; returns the exit status."""
    from flax_vision.cli.sweep_display import SweepDisplay
    from flax_vision.training.signals import Interrupted
    from flax_vision.training.sweep import run_sweep

    overrides, grid = _overrides(options.overrides), _grid(options.set)
    _check_once(overrides, grid)
    path, display = Path(options.workdir), SweepDisplay()
    settings: Any = grid or [{}]
    try:
        runs = run_sweep(
            options.config, settings, options.seeds, path, display, overrides=overrides
        )
    except Interrupted as interrupted:
        print_note(interrupted)
        print_note(f"{display.describe_finished()}. To resume: {_command(options)}")
        return interrupted.exit_status
    _print(runs, options.format)
    print_note(f"page: {_write_page(path, runs)}")
    return 1 if any(one.error for one in runs) else 0


def split_values(text: str) -> list[str]:
    """Splits a text at its commas, except for commas in brackets and quotes.

    ```python
    >>> split_values("0.1,(30, 60),'a,b'")
    ['0.1', '(30, 60)', "'a,b'"]

    ```
    """
    parts, closing = [""], ""
    for character in text:
        if character == "," and not closing:
            parts.append("")
            continue
        parts[-1] += character
        if closing and character == closing[-1]:
            closing = closing[:-1]
        elif closing[-1:] not in ("'", '"'):
            closing += _BRACKETS.get(character, character if character in "'\"" else "")
    return [part.strip() for part in parts]


def _setting(text: str) -> tuple[str, list[str]]:
    key, equals, values = text.removeprefix("--config.").partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=A,B, such as schedule.lr=0.1,0.05")
    return key, split_values(values)


def _seeds(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of whole numbers, such as 0,1,2"
        ) from None


def _overrides(arguments: Sequence[str]) -> dict[str, str]:
    """Returns the values of `--config.KEY=VALUE` by key."""
    values = {}
    for argument in arguments:
        key, equals, value = argument.removeprefix("--config.").partition("=")
        if not equals:
            raise UserError(f"{argument!r} has no value; write {argument}=VALUE.")
        values[key] = value
    return values


def _grid(settings: Sequence[tuple[str, list[str]]]) -> dict[str, list[str]]:
    grid = dict(settings)
    keys = [key for key, _ in settings]
    for key in grid:
        if keys.count(key) > 1:
            raise UserError(f"--set has {key!r} twice; give all values at once: {key}=A,B.")
    return grid


def _check_once(overrides: Mapping[str, str], grid: Mapping[str, list[str]]) -> None:
    """Raises a UserError for a key that is given in two ways."""
    for key in overrides.keys() & grid.keys():
        raise UserError(f"{key!r} is given by --set and by --config.{key}; give one of them.")
    if "seed" in overrides or "seed" in grid:
        raise UserError("the seed is given like a setting; give --seeds N,N instead.")


def _command(options: argparse.Namespace) -> str:
    """Returns the command that resumes a sweep."""
    sets = [word for key, x in options.set for word in ("--set", f"{key}={','.join(x)}")]
    words = ["flax-vision", "sweep", "--config", options.config, *options.overrides, *sets]
    seeds = ["--seeds", ",".join(map(str, options.seeds))]
    imports = [word for module in options.imports or () for word in ("--import", module)]
    return shlex.join([*words, *seeds, "--workdir", options.workdir, *imports])


def _print(runs: Sequence["SweepRun"], form: str) -> None:
    """Prints a row for each setting, the best mean first."""
    from flax_vision.training.sweep_summary import best_first, summarize

    summaries = best_first(summarize(runs))
    if form == "json":
        print(json.dumps(summaries, indent=2))
        return
    from flax_vision.analysis.sweep_table import settings_rows

    print_table([dict(map(_as_text, row.items())) for row in settings_rows(summaries)], form)


def _as_text(item: tuple[str, Any]) -> tuple[str, str]:
    """Returns a heading and the text of a cell."""
    heading, cell = item
    return heading, getattr(cell, "text", cell)


def _write_page(path: Path, runs: Sequence["SweepRun"]) -> Path:
    from flax_vision.analysis.report.sweep_page import PAGE, sweep_page

    file = path / PAGE
    with write_errors(file, "give the same command again to write it"):
        write_file(file, sweep_page(path.name, runs))
    return file
