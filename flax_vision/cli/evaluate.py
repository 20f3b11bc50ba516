"""The command `flax-vision evaluate`."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from flax_vision.cli import arguments
from flax_vision.cli.progress import progress
from flax_vision.cli.tables import print_table
from flax_vision.evaluation.protocols import CENTER, NAMES
from flax_vision.runtime.paths import expanded_path
from flax_vision.runtime.terminal import print_warning
from flax_vision.text import counted

if TYPE_CHECKING:
    from flax_vision.evaluation.evaluate import Evaluation

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
Of photographs ten_crop sees the middle square, multi_crop and googlenet_144 the whole, and the
dense protocols all but some pixels at the ends of the longer side, which is cut so that there are
at most 15 shapes of images to compile for.

examples:
  flax-vision evaluate runs/lenet5
  flax-vision evaluate runs/lenet5 --split validation --confusion
  flax-vision evaluate runs/resnet20 --protocol ten_crop --no-flip
  flax-vision evaluate runs/resnet20 --protocol dense --scales 28 32 40
  flax-vision evaluate runs/resnet50-folder --protocol multi_crop
  flax-vision evaluate runs/resnet50-folder/export --image-dir ~/photographs
  flax-vision evaluate runs/resnet20/export --data fashion_mnist --tfds-dir ~/tfds --format json
"""

_KEYS = (
    *("model", "data", "split", "protocol", "scales", "views", "views_computed", "images"),
    *("top1", "top5", "cross_entropy", "seconds", "images_per_second", "compile_seconds"),
    "warnings",
)
"""Of an Evaluation, in JSON."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "trained", type=expanded_path, metavar="DIR", help="a run directory, or an export"
    )
    parser.add_argument(
        "--protocol",
        choices=NAMES,
        default=CENTER,
        metavar="NAME",
        help="see below (default: center)",
    )
    parser.add_argument(
        "--scales",
        type=int,
        nargs="+",
        metavar="N",
        help="shorter sides in pixels that images are brought to, instead of the protocol's",
    )
    parser.add_argument("--no-flip", action="store_true", help="leave the mirror images out")
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), default="test", help="default: test"
    )
    parser.add_argument(
        "--data", metavar="NAME", help="another data set with the same classes (default: the run's)"
    )
    parser.add_argument(
        "--tfds-dir",
        type=expanded_path,
        metavar="DIR",
        help="where TFDS keeps its sets (default: as in the run)",
    )
    parser.add_argument(
        "--image-dir",
        type=expanded_path,
        metavar="DIR",
        help="a folder of photographs to test on, with a folder for each class (default: the "
        "run's); all of it is tested, or of train/, val/ and test/ the one that --split names. A "
        "warning counts unused files and folders",
    )
    parser.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        help="at a photograph that cannot be read; skip leaves it out (default: as in the run)",
    )
    parser.add_argument(
        "--max-pixels",
        type=arguments.positive,
        metavar="N",
        help="bound on the pixels of a photograph (default: as in the run)",
    )
    parser.add_argument(
        "--confusion",
        action="store_true",
        help="print which classes were taken for which: the matrix, with a row for each true "
        "class, or the most frequent confusions where there are many classes",
    )


def run(options: argparse.Namespace) -> None:
    """Tests, and prints the result."""
    from flax_vision.evaluation.evaluate import evaluate

    with progress() as report:
        result = evaluate(
            options.trained,
            protocol=options.protocol,
            split=options.split,
            data=options.data,
            tfds_dir=options.tfds_dir,
            image_dir=options.image_dir,
            on_error=options.on_error,
            max_pixels=options.max_pixels,
            scales=tuple(options.scales) if options.scales else None,
            flip=not options.no_flip,
            batch_size=options.batch_size,
            on_progress=report,
            on_warning=print_warning,
        )
    if options.format == "json":
        print(json.dumps(_content(result, options.confusion)))
    else:
        _print_tables(result, options.format, options.confusion)


def _content(result: "Evaluation", confusion: bool) -> dict[str, Any]:
    """Returns the result as an object of JSON; accuracies are from 0 to 1."""
    content = {key: getattr(result, key) for key in _KEYS}
    if confusion:
        names, matrix = list(result.class_names), _matrix(result).tolist()
        content |= {"class_names": names, "confusion": matrix}
    return content


def _print_tables(result: "Evaluation", form: str, confusion: bool) -> None:
    from flax_vision.evaluation.metrics import confusion_table

    rows = [{"network": name, result.model: text} for name, text in _texts(result).items()]
    print_table(rows, form)
    if confusion:
        rows = confusion_table(_matrix(result), result.class_names)
        print()
        print_table(rows, form) if rows else print("no image was taken for another class")


def _texts(result: "Evaluation") -> dict[str, str]:
    """Returns the rows of the table, for a person to read."""
    wrong = int((result.labels != result.predicted).sum())
    views = f"{result.views}"
    if result.views_computed < result.views:
        views += f", of which {result.views_computed} differ"
    scales = {"scales": ", ".join(map(str, result.scales))} if result.scales else {}
    top5 = {"top-5": f"{result.top5:.2%}"} if result.top5 is not None else {}
    return {
        "data set": result.data,
        "split": result.split,
        "protocol": result.protocol,
        **scales,
        "views per image": views,
        "images": f"{result.images:,}",
        "top-1": f"{result.top1:.2%}  ({wrong:,} of {counted(result.images, 'image')} wrong)",
        **top5,
        "cross-entropy": f"{result.cross_entropy:.4f}",
        "seconds": f"{result.seconds:.2f}, and {result.compile_seconds:.2f} of compiling",
        "images/s": f"{result.images_per_second:,.1f}",
    }


def _matrix(result: "Evaluation") -> Any:
    from flax_vision.evaluation.metrics import confusion_matrix

    return confusion_matrix(result.labels, result.predicted, len(result.class_names))
