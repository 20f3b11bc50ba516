"""Measures the speed of training and inference on random images.

The speeds are compared with the largest matrix product. Each measurement runs in a new process.

Two environment variables change the measurement: FLAX_VISION_ONEDNN=0 disables oneDNN, and
FLAX_VISION_ALLOCATOR=system leaves the allocator unchanged.
"""

import argparse
import dataclasses
import itertools
import json
from typing import Any

from flax_vision.cli.arguments import MODES, add_shared, positive_int, positive_seconds
from flax_vision.cli.console import print_table
from flax_vision.runtime import environment
from flax_vision.runtime.terminal import print_note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="models (default: one of each paper)")
    seconds = "time for each measurement (default: 10)"
    add("--seconds", type=positive_seconds, default=10, metavar="S", help=seconds)
    add_shared(parser, "--mode")
    add_step_arguments(parser)


def add_step_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that describe a step."""
    size = "height and width of the images (default: the paper's)"
    parser.add_argument("--image-size", type=positive_int, metavar="N", help=size)
    add_shared(parser, "--batch-size", "--options", "--format")


def check_model(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings of a step: options, image size, batch size.

    Raises:
      UserError: The model cannot have them.
    """
    from flax_vision.analysis.benchmark import BATCH_SIZES, check_model

    model_options = dict(options.options)
    check_model(name, options.image_size, model_options)
    return {
        "batch_size": options.batch_size or BATCH_SIZES.get(name, 16),
        "image_size": options.image_size,
        "options": model_options,
    }


def print_environment() -> None:
    """Prints the configuration of the process to standard error."""
    from flax_vision.ops import backend

    print_note(f"{backend.describe()}; {environment.describe()}")


def run(options: argparse.Namespace) -> None:
    """Measures each model, and prints a table."""
    from flax_vision.analysis import benchmark

    names = options.names or list(benchmark.BATCH_SIZES)
    settings = {name: check_model(name, options) for name in names}
    print_environment()
    limit = benchmark.matrix_product_gigaflops()
    print_note(f"largest matrix product: {limit:.0f} GFLOP/s")
    speeds = []
    for name, mode in itertools.product(names, [options.mode] if options.mode else MODES):
        print_note(f"measuring {name}, {mode}")
        speed = benchmark.measure_in_subprocess(
            name, mode, seconds=options.seconds, **settings[name]
        )
        speeds.append(speed)
    if options.format == "json":
        print(json.dumps([dataclasses.asdict(speed) | {"limit": limit} for speed in speeds]))
    else:
        print_table([speed.row(limit) for speed in speeds], options.format)
