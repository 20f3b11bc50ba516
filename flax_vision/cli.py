"""The program `flax-vision`."""

import argparse
import dataclasses
import itertools
import json
import math
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flax_vision import process
from flax_vision.errors import UserError
from flax_vision.evaluation import command as evaluation
from flax_vision.report import command as report
from flax_vision.report.tables import FORMATS, print_table
from flax_vision.weights import export_command as export

if TYPE_CHECKING:
    from flax_vision.profiling import Time


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0, or 2 for a mistake of the user's."""
    if arguments is None:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # Nothing can be lost here, so that Ctrl-C may end a step in its middle.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        process.prepare()
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
        "output, parameters and multiply-adds for one image. Nothing is compiled.",
    )
    summary.add_argument("name", help="a network, see `flax-vision models`")
    summary.add_argument(
        "--image-size", metavar="N|HxW", help="height and width of the images; the paper's"
    )
    summary.add_argument("--num-classes", type=int, metavar="N", help="classes; the paper's")
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
        "--seconds", type=_seconds, default=10, metavar="S", help="to time each for (default: 10)"
    )
    bench.set_defaults(run=_bench)
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
    profile.set_defaults(run=_profile)
    evaluate = commands.add_parser("evaluate", help="test what was trained, as its paper did")
    evaluation.add_arguments(evaluate)
    evaluate.set_defaults(run=evaluation.run)
    reporting = commands.add_parser("report", help="write a page of what a run learned")
    report.add_arguments(reporting)
    reporting.set_defaults(run=report.run)
    exporting = commands.add_parser("export", help="write a trained network for other programs")
    export.add_arguments(exporting)
    exporting.set_defaults(run=export.run)
    for command in (bench, profile, evaluate):
        command.add_argument("--batch-size", type=_positive, metavar="N", help="images in a step")
    for command in (bench, profile):
        command.add_argument(
            "--image-size", type=_positive, metavar="N", help="height and width; the paper's"
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


def _models(options: argparse.Namespace) -> None:
    from flax_vision.models.catalogue import find

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
    from flax_vision.models.registry import create_model, find_variant
    from flax_vision.models.summary import summarize, totals

    model_options = _model_options(options)
    if "num_classes" in model_options:
        raise UserError("--options has num_classes; give --num-classes N for it.")
    model = create_model(options.name, num_classes=options.num_classes, **model_options)
    *size, channels = find_variant(options.name).image_shape
    height, width = _image_size(options.image_size) or size
    rows = summarize(model, (height, width, channels))
    sums = totals(rows)
    print_table([row.to_dict() for row in rows + sums], options.format, len(sums))


def _bench(options: argparse.Namespace) -> None:
    from flax_vision.benchmark import BATCH_SIZES, check, matrix_product_gigaflops, measure_apart
    from flax_vision.ops import onednn_library

    model_options = _model_options(options)
    names = options.names or list(BATCH_SIZES)
    for name in names:
        check(name, options.image_size, model_options)
    modes = [options.mode] if options.mode else ["training", "inference"]
    print(f"{onednn_library.describe()}; {process.describe()}", file=sys.stderr)
    limit = matrix_product_gigaflops()
    print(f"largest matrix product: {limit:.0f} GFLOP/s", file=sys.stderr)
    speeds = []
    for name, mode in itertools.product(names, modes):
        print(f"measuring {name}, {mode}", file=sys.stderr)
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
    from flax_vision.benchmark import BATCH_SIZES, check
    from flax_vision.ops import onednn_library
    from flax_vision.profiling import profile

    model_options = _model_options(options)
    check(options.name, options.image_size, model_options)
    print(f"{onednn_library.describe()}; {process.describe()}", file=sys.stderr)
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


def _model_options(options: argparse.Namespace) -> dict[str, Any]:
    found = dict(_option(text) for text in options.options)
    if "name" in found:
        raise UserError("--options has name; give NAME for it.")
    return found


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds greater than 0")
    return seconds


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--options {text!r} is not KEY=VALUE, such as shortcut=A.")
    try:
        return key, json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return key, value


def _image_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise UserError(
            f"--image-size is {text!r}; give one number or HxW, such as 224 or 224x320."
        )
    return int(sides[0]), int(sides[-1])
