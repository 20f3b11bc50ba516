"""Compares runs: results, costs, and differences of their configurations.

The test loss is the plain cross-entropy for every run. A run with LeNet-5's loss is
tested again on its own test images, unless --no-evaluate is given.

Examples:
  flax-vision compare runs/lenet5 runs/lenet5-model.name=lenet5_modern
  flax-vision compare runs/* --format csv
  flax-vision compare runs/a runs/b -o curves.png
"""

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax_vision.cli.arguments import add_shared
from flax_vision.cli.console import FORMATS, print_table, progress
from flax_vision.cli.output_file import check_picture
from flax_vision.errors import UserError
from flax_vision.runtime.files import expanded_path, write_errors
from flax_vision.runtime.terminal import print_error, print_warning
from flax_vision.text import printable

if TYPE_CHECKING:
    from flax_vision.analysis.comparison import ComparedRun

_MAX_COLUMNS = 5
"""Largest number of runs that are columns of the table; more runs are rows."""

_UNKNOWN = "n/a"
_ABSENT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    add("runs", nargs="+", type=expanded_path, metavar="DIR", help="run directories")
    picture = "draw the accuracy curves into a .png, .pdf or .svg file"
    add("-o", "--output", type=expanded_path, metavar="FILE", help=picture)
    skip = "leave out the test loss of runs that were trained with LeNet-5's loss"
    add("--no-evaluate", action="store_true", help=skip)
    add_shared(parser, "--overwrite")
    add_shared(parser, "--format", choices=(*FORMATS, "csv"))


def run(options: argparse.Namespace) -> int:
    """Prints the comparison, and returns the exit status."""
    from flax_vision.analysis.comparison import data_warnings, differences

    if options.output:
        check_picture("--output", Path(options.output), options.overwrite)
    paths = list(dict.fromkeys(map(Path, options.runs)))
    runs = _read(paths)
    if not runs:
        return 2
    for warning in data_warnings(runs):
        print_warning(warning)
    rows = [_summary(one, not options.no_evaluate) for one in runs]
    _print(rows, [_settings(one, differences(runs)) for one in runs], options.format)
    if options.output:
        _draw(runs, Path(options.output))
    return 1 if len(runs) < len(paths) else 0


def _read(paths: Sequence[Path]) -> list["ComparedRun"]:
    """Returns the readable runs; an error line names each of the others."""
    from flax_vision.analysis.comparison import read_run

    runs = []
    for path in paths:
        try:
            runs.append(read_run(path))
        except (UserError, OSError) as error:
            print_error(f"{str(path)!r} is left out: {error}")
    return runs


def _summary(run: "ComparedRun", evaluates: bool) -> dict[str, Any]:
    """Returns the results of a run, with its test cross-entropy if that may be computed."""
    from flax_vision.analysis.comparison import compute_cross_entropy

    row = run.summary()
    if row["test_cross_entropy"] is None and row["finished"] and evaluates:
        with progress() as on_progress:
            row["test_cross_entropy"], warnings = compute_cross_entropy(run, on_progress)
        for warning in warnings:
            print_warning(warning)
    return row


def _settings(run: "ComparedRun", keys: Sequence[str]) -> dict[str, Any]:
    return {key: run.config[key] for key in keys if key in run.config}


def _print(
    rows: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]], form: str
) -> None:
    keys = list(dict.fromkeys(key for own in settings for key in own))
    pairs = list(zip(rows, settings, strict=True))
    if form == "json":
        print(json.dumps([{**row, "config": own} for row, own in pairs], indent=2))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([*rows[0], *(f"config.{key}" for key in keys)])
        for row, own in pairs:
            values = [*row.values(), *map(own.get, keys)]
            writer.writerow(["" if value is None else printable(value) for value in values])
    else:
        columns = {
            row["run"]: _texts(row) | {f"config.{key}": _text(own, key) for key in keys}
            for row, own in pairs
        }
        print_table(_table(columns), form)


def _table(columns: Mapping[str, Mapping[str, str]]) -> list[dict[str, str]]:
    """Returns the rows of a table of runs, which are its columns if they are few."""
    if len(columns) > _MAX_COLUMNS:
        return [{"run": run, **column} for run, column in columns.items()]
    titles = next(iter(columns.values()))
    return [
        {"run": title, **{run: column[title] for run, column in columns.items()}}
        for title in titles
    ]


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """Returns the cells of a run by their headings."""
    from flax_vision.cli.training_display import format_duration

    epochs = f"{row['epochs']}"
    if not row["finished"]:
        epochs += f" of {row['planned_epochs']} (unfinished)"
    return {
        "model": row["model"],
        "data": row["data"],
        "best epoch": _formatted(row["best_epoch"], "d"),
        "validation top-1": _formatted(row["validation_top1"], ".2%"),
        "test top-1": _formatted(row["test_top1"], ".2%"),
        "test cross-entropy": _formatted(row["test_cross_entropy"], ".4f"),
        "parameters": f"{row['parameters']:,}",
        "epochs": epochs,
        "training time": format_duration(row["train_seconds"]),
        "images/s": _formatted(row["images_per_second"], ",.0f"),
    }


def _formatted(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else f"{value:{form}}"


def _text(settings: Mapping[str, Any], key: str) -> str:
    return str(settings[key]) if key in settings else _ABSENT


def _draw(runs: Sequence["ComparedRun"], path: Path) -> None:
    from flax_vision.analysis.report.figures.curves import accuracy

    picture = accuracy({str(run.path): run.records for run in runs})
    with write_errors(path, "give another --output"):
        picture.savefig(path)
