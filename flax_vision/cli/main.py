"""The program `flax-vision`."""

import argparse
import dataclasses
import itertools
import json
import math
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from flax_vision.cli import arguments, import_weights
from flax_vision.cli import evaluate as evaluation
from flax_vision.cli import export as export
from flax_vision.cli import predict as prediction
from flax_vision.cli import report as report
from flax_vision.cli.tables import FORMATS, print_table
from flax_vision.errors import UserError
from flax_vision.runtime import environment
from flax_vision.runtime.terminal import configure_streams, print_error, print_note
from flax_vision.text import counted, printable

if TYPE_CHECKING:
    from flax_vision.analysis.profiler import Time

_DESCRIBED = {
    "evaluate": (evaluation, "test what was trained, as its paper did"),
    "import-weights": (import_weights, "take over torchvision's weights"),
    "predict": (prediction, "tell what is in photographs"),
    "report": (report, "write a page of what a run learned"),
    "export": (export, "write a trained network for other programs"),
}
"""Commands with a module of their own, and what each does in a few words."""


def main(typed: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0, or 2 for a mistake of the user's.

    A command that could do only a part of its work returns 1.
    """
    try:
        if typed is None:
            _configure_signals_and_streams()
        options = _parser().parse_args(typed)
        if typed is None and _computes(options):
            environment.prepare(has_steps=options.command != "summary")
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


def _computes(options: argparse.Namespace) -> bool:
    """Returns whether a command compiles programs, and so needs a configured process."""
    if options.command == "summary":
        return options.mesh is not None
    return options.command != "models"


def _configure_signals_and_streams() -> None:
    """Configures signals and streams of a process that runs this program alone."""
    # Nothing can be lost here, so that Ctrl-C may end a step in its middle.
    environment.handle_ctrl_c(signal.SIG_DFL)
    if not configure_streams():
        raise UserError("standard output is closed; redirect it to a file or to /dev/null.")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _on_device(run: Callable[[argparse.Namespace], int | None], options: argparse.Namespace) -> int:
    """Runs a command that needs a device, and returns the exit status."""
    environment.check_platforms()
    return run(options) or 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="flax-vision",
        description="The networks of five papers, LeNet-5 to ResNet. To train one: "
        "`python train.py --help`.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    models = commands.add_parser("models", help="list the networks")
    models.add_argument("pattern", nargs="?", help="only the names that match, such as 'vgg*'")
    models.set_defaults(run=_models)
    summary = commands.add_parser(
        "summary",
        help="print a network as its paper's table",
        description="Prints the layers of a network with their kernels (size/stride and number), "
        "output, parameters and multiply-adds for one image. Nothing is compiled, but with --mesh "
        "the gradients, for as many emulated devices: what each has and sends to others is read "
        "from that program, and from the one where they share nothing but batches.",
    )
    summary.add_argument("name", help="a network, see `flax-vision models`")
    summary.add_argument(
        "--image-size", metavar="N|HxW", help="height and width of the images; the paper's"
    )
    summary.add_argument("--num-classes", type=int, metavar="N", help="classes; the paper's")
    summary.add_argument(
        "--mesh",
        metavar="AXIS=N[,AXIS=N]",
        help="devices that share a batch, data=N, or AlexNet's columns, column=2, or both",
    )
    summary.add_argument(
        "--batch-size",
        type=arguments.positive,
        default=128,
        metavar="N",
        help="images in a step, on all devices together (default: 128)",
    )
    summary.set_defaults(run=_summary)
    bench = commands.add_parser(
        "bench",
        help="measure how fast networks train and infer here",
        description="Times training steps and inference of networks on random images, each in a "
        "process of its own, and compares them with the largest matrix product.",
        epilog="The environment decides what is measured: FLAX_VISION_ONEDNN=0 leaves oneDNN out, "
        "FLAX_VISION_ALLOCATOR=system leaves the allocator as it is.",
    )
    bench.add_argument("names", nargs="*", metavar="NAME", help="networks (one of each paper)")
    bench.add_argument("--mode", choices=("training", "inference"), help="both if not given")
    bench.add_argument(
        "--seconds",
        type=arguments.seconds,
        default=10,
        metavar="S",
        help="to time each for (default: 10)",
    )
    bench.set_defaults(run=partial(_on_device, _bench))
    profile = commands.add_parser(
        "profile",
        help="print where the time of a step goes",
        description="Prints the milliseconds of a step by layer and by operation. What runs side "
        "by side on several threads counts in full.",
    )
    profile.add_argument("name", help="a network, see `flax-vision models`")
    profile.add_argument("--mode", choices=("training", "inference"), default="training")
    profile.add_argument(
        "--by", choices=("layer", "operation"), help="one of the two tables; both if not given"
    )
    profile.set_defaults(run=partial(_on_device, _profile))
    described = {name: _add_described(commands, name, *own) for name, own in _DESCRIBED.items()}
    evaluate, predict = described["evaluate"], described["predict"]
    for command in (bench, profile, evaluate, predict):
        command.add_argument(
            "--batch-size", type=arguments.positive, metavar="N", help="images in a step"
        )
    for command in (bench, profile):
        command.add_argument(
            "--image-size",
            type=arguments.positive,
            metavar="N",
            help="height and width; the paper's",
        )
    for command in (summary, bench, profile):
        command.add_argument(
            "--options",
            nargs="+",
            action="extend",
            default=[],
            metavar="KEY=VALUE",
            help="such as shortcut=A",
        )
    for command in (models, summary, bench, profile, evaluate):
        command.add_argument(
            "--format", choices=FORMATS, default="table", help="table if not given"
        )
    return parser


def _add_described(commands: Any, name: str, module: Any, does: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=does,
        description=module.DESCRIPTION,
        epilog=module.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.set_defaults(run=partial(_on_device, module.run))
    return parser


def _models(options: argparse.Namespace) -> None:
    from flax_vision.models.catalog import find

    rows = [
        {
            "name": name,
            "year": str(entry.paper.year),
            "parameters": entry.parameters,
            "multiply-adds": entry.multiply_adds,
            "paper": entry.paper.title,
        }
        for name, entry in find(options.pattern).items()
    ]
    print_table(rows, options.format)


def _summary(options: argparse.Namespace) -> None:
    axes = arguments.mesh_axes(options.mesh) if options.mesh is not None else {}
    if axes:
        environment.emulate_devices(math.prod(axes.values()))
    environment.check_platforms()
    from flax_vision.models.registry import create_model, find_variant
    from flax_vision.models.summary import summarize, totals

    model_options = arguments.model_options(options.options)
    if "num_classes" in model_options:
        raise UserError("--options has num_classes; give --num-classes N for it.")
    create = partial(create_model, options.name, num_classes=options.num_classes, **model_options)
    *size, channels = find_variant(options.name).image_shape
    shape = (*(arguments.image_size(options.image_size) or size), channels)
    rows = summarize(create(), shape)
    sums = totals(rows)
    layers = [row.to_dict() for row in rows + sums]
    if not axes:
        print_table(layers, options.format, len(sums))
        return
    from flax_vision.analysis import communication

    meshes = communication.beside_data(create, axes, rows, shape, options.batch_size)
    if options.format == "json":
        print(json.dumps({"layers": layers, "batch_size": options.batch_size, **meshes}, indent=2))
        return
    print_table(layers, options.format, len(sums))
    for mesh, table in meshes.items():
        print(
            f"\n{mesh}: bytes on each device, and that it sends in a step of "
            f"{counted(options.batch_size, 'image')}\n"
        )
        print_table(table, options.format, 1)


def _bench(options: argparse.Namespace) -> None:
    from flax_vision.analysis.benchmark import (
        BATCH_SIZES,
        check,
        matrix_product_gigaflops,
        measure_apart,
    )
    from flax_vision.ops import backend

    model_options = arguments.model_options(options.options)
    names = options.names or list(BATCH_SIZES)
    for name in names:
        check(name, options.image_size, model_options)
    modes = [options.mode] if options.mode else ["training", "inference"]
    print_note(f"{backend.describe()}; {environment.describe()}")
    limit = matrix_product_gigaflops()
    print_note(f"largest matrix product: {limit:.0f} GFLOP/s")
    speeds = []
    for name, mode in itertools.product(names, modes):
        print_note(f"measuring {name}, {mode}")
        batch_size = options.batch_size or BATCH_SIZES.get(name, 16)
        speed = measure_apart(
            name,
            mode,
            batch_size,
            image_size=options.image_size,
            seconds=options.seconds,
            options=model_options,
        )
        speeds.append(speed)
    if options.format == "json":
        print(json.dumps([dataclasses.asdict(speed) | {"limit": limit} for speed in speeds]))
    else:
        print_table([speed.row(limit) for speed in speeds], options.format)


def _profile(options: argparse.Namespace) -> None:
    from flax_vision.analysis.benchmark import BATCH_SIZES, check
    from flax_vision.analysis.profiler import profile
    from flax_vision.ops import backend

    model_options = arguments.model_options(options.options)
    check(options.name, options.image_size, model_options)
    print_note(f"{backend.describe()}; {environment.describe()}")
    batch_size = options.batch_size or BATCH_SIZES.get(options.name, 16)
    found = profile(options.name, options.mode, batch_size, options.image_size, model_options)
    times = {"layer": found.layers, "operation": found.operations}
    tables = {by: _rows_of_times(by, times[by]) for by in times if options.by in (None, by)}
    if options.format == "json":
        print(json.dumps(tables, indent=2))
    else:
        for rows in tables.values():
            print_table(rows, options.format)


def _rows_of_times(heading: str, times: Mapping[str, "Time"]) -> list[dict[str, Any]]:
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
