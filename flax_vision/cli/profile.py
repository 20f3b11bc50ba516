"""Prints the milliseconds of a step by layer and by operation.

Operations that run at the same time on several threads count in full.
"""

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flax_vision.cli.arguments import add_shared
from flax_vision.cli.bench import add_step_arguments, check_model, print_environment
from flax_vision.cli.console import print_table

if TYPE_CHECKING:
    from flax_vision.analysis.profiler import OpTime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("name", help="model, see `flax-vision models`")
    add_shared(parser, "--mode", default="training", help="default: training")
    parser.add_argument("--by", choices=("layer", "operation"), help="default: both tables")
    add_step_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Profiles a step, and prints its tables."""
    from flax_vision.analysis.profiler import profile

    settings = check_model(options.name, options)
    print_environment()
    measured = profile(options.name, options.mode, **settings)
    times = {"layer": measured.layers, "operation": measured.operations}
    tables = {by: _rows(by, times[by]) for by in times if options.by in (None, by)}
    if options.format == "json":
        print(json.dumps(tables, indent=2))
    else:
        for rows in tables.values():
            print_table(rows, options.format)


def _rows(heading: str, times: Mapping[str, "OpTime"]) -> list[dict[str, Any]]:
    total = sum(time.total for time in times.values())
    longest = sorted(times.items(), key=lambda item: -item[1].total)
    return [
        {
            heading: name,
            "forward, ms": round(time.forward, 2),
            "backward, ms": round(time.backward, 2),
            "share, %": round(100 * time.total / total, 2),
            "calls": round(time.calls),
        }
        for name, time in longest
    ]
