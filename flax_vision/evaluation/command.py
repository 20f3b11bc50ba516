"""The command `flax-vision evaluate`."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flax_vision.evaluation.protocols import CENTER, NAMES
from flax_vision.report.tables import print_table

if TYPE_CHECKING:
    from flax_vision.data.image_set import Report
    from flax_vision.evaluation.trained import Evaluation

DESCRIPTION = """\
Tests what a run left behind: top-1 and top-5 accuracy on images that it was not trained on, as
the run itself tested it at its end or as one of the papers did."""

EPILOG = """\
protocols; sizes are for networks of 224x224, and for others in proportion:
  center         one view, as the run tested it
  ten_crop       corners and middle of the image, and their mirror images (AlexNet, ResNet)
  dense          the whole image and its mirror image, at any size, through the fully
                 convolutional form; class scores averaged over the image (VGG)
  multi_scale    dense at the scale of training and 32 less and more (VGG), or, for the ResNets
                 for ImageNet, at 224, 256, 384, 480 and 640
  multi_crop     a grid of 5x5 crops and their mirror images at 256, 384 and 512: 150 views (VGG)
  googlenet_144  6 views of 3 squares at 256, 288, 320 and 352, mirrored too: 144 views
The softmax outputs of all views are averaged. Views that coincide, as the three squares of a
square image do, are computed once and counted as often. LeNet-5 has no fully convolutional form.

examples:
  flax-vision evaluate runs/lenet5
  flax-vision evaluate runs/lenet5 --split validation --confusion
  flax-vision evaluate runs/resnet20 --protocol ten_crop --no-flip
  flax-vision evaluate runs/resnet20 --protocol dense --scales 28 32 40
  flax-vision evaluate runs/resnet20/export --data fashion_mnist --directory ~/tfds --format json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("directory_of_run", metavar="DIR", help="a run directory, or an export")
    parser.add_argument(
        "--protocol", choices=NAMES, default=CENTER, metavar="NAME", help="see below; center"
    )
    parser.add_argument(
        "--scales",
        type=int,
        nargs="+",
        metavar="N",
        help="shorter sides in pixels that images are brought to, instead of the protocol's",
    )
    parser.add_argument("--no-flip", action="store_true", help="leave mirror images out")
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), default="test", help="test"
    )
    parser.add_argument(
        "--data", metavar="NAME", help="another data set with the same classes; the run's own"
    )
    parser.add_argument(
        "--directory", metavar="DIR", help="where TFDS keeps its sets; where the run found its own"
    )
    parser.add_argument(
        "--confusion",
        action="store_true",
        help="print which classes were taken for which: the matrix, with a row for each true "
        "class, or the most frequent confusions where there are many classes",
    )


def run(options: argparse.Namespace) -> None:
    """Tests, and prints the result."""
    from flax_vision.evaluation.trained import evaluate_trained

    with _progress() as report:
        result = evaluate_trained(
            options.directory_of_run,
            protocol=options.protocol,
            split=options.split,
            data=options.data,
            directory=options.directory,
            scales=tuple(options.scales) if options.scales else None,
            flip=not options.no_flip,
            batch_size=options.batch_size,
            report=report,
        )
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if options.format == "json":
        print(json.dumps(_content(result, options.confusion)))
    else:
        _print_tables(result, options.format, options.confusion)


@contextmanager
def _progress() -> Iterator["Report"]:
    """Yields what shows how far it has come: a live line, where there is a terminal for it."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("images "),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            for task in tasks.values():
                progress.remove_task(task)
            tasks.clear()
            tasks[what] = progress.add_task(what)
        progress.update(tasks[what], completed=done, total=total or None)

    with progress:
        yield report


def _content(result: "Evaluation", confusion: bool) -> dict[str, Any]:
    """Returns the result as an object of JSON; accuracies are from 0 to 1."""
    keys = (
        *("network", "data", "split", "protocol", "scales", "views", "images", "top1", "top5"),
        *("cross_entropy", "seconds", "images_per_second", "compile_seconds", "warnings"),
    )
    content = {key: getattr(result, key) for key in keys}
    if confusion:
        names, matrix = list(result.class_names), _matrix(result).tolist()
        content |= {"class_names": names, "confusion": matrix}
    return content


def _print_tables(result: "Evaluation", form: str, confusion: bool) -> None:
    from flax_vision.evaluation.confusion import table_of

    row: dict[str, Any] = {
        "network": result.network,
        "data": f"{result.data}, {result.split}",
        "protocol": result.protocol,
        "top-1, %": 100 * result.top1,
    }
    if result.top5 is not None:
        row["top-5, %"] = 100 * result.top5
    row |= {
        "cross-entropy": f"{result.cross_entropy:.4f}",
        "images": result.images,
        "views": result.views,
        "seconds": result.seconds,
        "images/s": round(result.images_per_second),
    }
    print_table([row], form)
    if confusion:
        rows = table_of(_matrix(result), result.class_names)
        print()
        print_table(rows, form) if rows else print("no image was taken for another class")


def _matrix(result: "Evaluation") -> Any:
    from flax_vision.evaluation.confusion import confusion_matrix

    return confusion_matrix(result.labels, result.taken_for, len(result.class_names))
