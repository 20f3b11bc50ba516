"""Tests a trained model on images that it was not trained on.

Prints top-1 and top-5 accuracy, balanced accuracy (the mean recall of the classes), macro F1, the
expected calibration error (15 bins, Guo et al. 2017) and the share of the largest class. The
protocol is the run's own, or one of the papers'.

Protocols:
  center         One crop, as in the run's own test.
  ten_crop       Corners and center of the image, and their mirror images (AlexNet, ResNet).
  dense          The whole image and its mirror image, at any size, through the fully
                 convolutional form. Class scores are averaged over the image (VGG).
  multi_scale    dense at the training scale, 32 less and 32 more (VGG). The ResNets for ImageNet
                 have 224, 256, 384, 480 and 640.
  multi_crop     A grid of 5x5 crops and their mirror images at 256, 384 and 512. These are 150
                 crops (VGG).
  googlenet_144  6 crops of 3 squares at 256, 288, 320 and 352, and their mirror images. These are
                 144 crops.

Sizes are for models of 224x224 images, and in proportion for others. The softmax outputs of all
crops are averaged. Equal crops, as of the three squares of a square image, are computed once and
keep their weight. LeNet-5 has no fully convolutional form. In images of any shape, ten_crop uses
the center square; multi_crop and googlenet_144 use the whole image. The dense protocols cut some
pixels from the ends of the longer side: at most 15 shapes are compiled.

Several models, or several protocols, form an ensemble: their softmax outputs are averaged. A table
shows the result of each model under each protocol. The models need the same classes and images;
their image sizes may differ.

--predictions writes a row for each image. The columns are path (relative to the folder; index in
the split for other images), label, prediction, correct, confidence, error, and the most probable
classes with their probabilities: class_1, probability_1, class_2 and so on. For a skipped image,
error has the reason.

Examples:
  flax-vision evaluate runs/lenet5 --split validation --confusion
  flax-vision evaluate runs/resnet20 --protocol ten_crop --no-flip
  flax-vision evaluate runs/resnet20 --protocol dense --scales 28 32 40
  flax-vision evaluate runs/resnet20 --precise-bn-samples 8192

Ensembles of models, and of protocols as in VGG's table 5:
  flax-vision evaluate runs/resnet20-seed0 runs/resnet20-seed1 runs/resnet20-seed2
  flax-vision evaluate runs/vgg16 --protocol dense,multi_crop --scales 256 384 512

Results of each class and image:
  flax-vision evaluate runs/lenet5 --per-class --predictions digits.csv --top 3

On other images:
  flax-vision evaluate runs/resnet50-folder/export --image-dir ~/photographs --protocol multi_crop
  flax-vision evaluate runs/resnet50-folder/export --image-dir photographs --labels labels.csv
  flax-vision evaluate runs/resnet20/export --data fashion_mnist --tfds-dir ~/tfds --format json
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax_vision.cli.arguments import add_shared, positive_int
from flax_vision.cli.console import print_table, progress
from flax_vision.cli.output_file import check_output_file
from flax_vision.errors import UserError, unknown
from flax_vision.runtime.files import expanded_path, write_errors
from flax_vision.runtime.terminal import print_note, print_warning
from flax_vision.text import counted

if TYPE_CHECKING:
    import numpy as np

    from flax_vision.evaluation.ensemble import EnsembleMember
    from flax_vision.evaluation.evaluation_result import Evaluation

PROTOCOLS = ("center", "ten_crop", "dense", "multi_scale", "multi_crop", "googlenet_144")
"""Names of `evaluation.protocols`; importing them would import JAX, which takes a second."""

_TOP = 5
"""Default of `--top`."""

_SETTINGS = (
    *("split", "data", "tfds_dir", "image_dir", "labels", "on_error"),
    *("max_pixels", "image_column", "label_column", "batch_size"),
)
"""Options that are arguments of `evaluate` and `evaluate_ensemble` too."""

_JSON_KEYS = (
    *("model", "data", "split", "protocol", "scales", "crops", "crops_computed", "images"),
    *("top1", "top5", "balanced_accuracy", "f1", "ece", "majority_share", "cross_entropy"),
    *("seconds", "images_per_second", "compile_seconds", "warnings"),
)
"""Attributes of an Evaluation that JSON has."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    several = "run or export directories; several form an ensemble"
    add_shared(parser, "trained", nargs="+", help=several)
    add_shared(parser, "--batch-size", "--format", "--tfds-dir")
    protocol = "protocol, or several separated by commas (default: center)"
    add("--protocol", type=_protocols, default=("center",), metavar="NAME", help=protocol)
    scales = "shorter sides of the resized images, in pixels (default: the protocol's)"
    add("--scales", type=int, nargs="+", metavar="N", help=scales)
    add("--no-flip", action="store_true", help="leave out the mirror images")
    precise = """number of training images whose statistics replace the running averages of batch
        normalization (default: 0)"""
    add("--precise-bn-samples", type=positive_int, metavar="N", help=precise)
    add("--split", choices=("train", "validation", "test"), default="test", help="default: test")
    add("--data", metavar="NAME", help="another dataset with the same classes")
    folder = """folder of images with a folder for each class (default: the run's); split folders
        train/, val/ and test/ follow --split, and other folders are tested as a whole"""
    add_shared(parser, "--image-dir", help=folder)
    add_shared(parser, "--labels")
    column = "column of the {} in a table (default: as in the run, or found)"
    add("--image-column", metavar="NAME", help=column.format("images or paths"))
    add("--label-column", metavar="NAME", help=column.format("labels"))
    on_error = "at unreadable images: stop, or skip and count them (default: the run's)"
    add("--on-error", choices=("stop", "skip"), help=on_error)
    pixels = "bound on the pixels of an image (default: the run's)"
    add_shared(parser, "--max-pixels", help=pixels)
    confusion = "print the confusion matrix, or the most frequent confusions of many classes"
    add("--confusion", action="store_true", help=confusion)
    per_class = "print precision, recall, F1 and the number of images of each class"
    add("--per-class", action="store_true", help=per_class)
    predictions = "write a row for each image into a .csv, .jsonl or .parquet file"
    add("--predictions", type=expanded_path, metavar="FILE", help=predictions)
    top = "number of most probable classes in --predictions (default: 5)"
    add("--top", type=positive_int, metavar="K", help=top)
    add("--overwrite", action="store_true", help="replace an existing file of --predictions")


def _protocols(text: str) -> tuple[str, ...]:
    """Returns the names of protocols in a text such as `dense,multi_crop`."""
    names = tuple(text.split(","))
    for name in names:
        if name not in PROTOCOLS:
            error = str(unknown("protocol", name, PROTOCOLS)).rstrip(".")
            raise argparse.ArgumentTypeError(error)
        if names.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{text!r} has {name!r} twice; give it once")
    return names


def run(options: argparse.Namespace) -> None:
    """Tests the models, and prints the result."""
    if options.predictions:
        _check_predictions(Path(options.predictions), options.overwrite)
    elif options.top:
        raise UserError("--top is for --predictions FILE; give that too, or leave out --top.")
    result, members = _evaluate(options)
    if options.predictions:
        _write_predictions(Path(options.predictions), result)
    if options.format == "json":
        print(json.dumps(_json(result, options) | _members_json(members)))
    else:
        if members:
            print_table([*map(_member_row, members), _mean_row(result)], options.format, totals=1)
            print()
        _print_tables(result, options)


def _evaluate(options: argparse.Namespace) -> "tuple[Evaluation, Sequence[EnsembleMember]]":
    """Returns the result, and the results of an ensemble's models."""
    from flax_vision.evaluation.ensemble import evaluate_ensemble
    from flax_vision.evaluation.evaluate import evaluate

    settings: dict[str, Any] = {
        "scales": tuple(options.scales) if options.scales else None,
        "flip": not options.no_flip,
        "top": (options.top or _TOP) if options.predictions else 0,
        "precise_bn_samples": options.precise_bn_samples or 0,
        "on_warning": print_warning,
        **{name: getattr(options, name) for name in _SETTINGS},
    }
    paths, protocols = options.trained, options.protocol
    with progress() as on_progress:
        settings["on_progress"] = on_progress
        if len(paths) == len(protocols) == 1:
            return evaluate(paths[0], protocol=protocols[0], **settings), ()
        return evaluate_ensemble(paths, protocols=protocols, **settings)


def _check_predictions(path: Path, overwrite: bool) -> None:
    """Raises a UserError if the predictions cannot be written, before the evaluation."""
    from flax_vision.evaluation.prediction_file import check_extension

    check_output_file("--predictions", path, overwrite)
    check_extension(path)


def _write_predictions(path: Path, result: "Evaluation") -> None:
    from flax_vision.evaluation.prediction_file import write_predictions

    with write_errors(path, "correct that and repeat the command"):
        write_predictions(path, result)
    print_note(f"predictions: {path}")


def _member_row(member: "EnsembleMember") -> dict[str, Any]:
    """Returns the row of a model in the table of an ensemble."""
    result = member.evaluation
    top5 = {} if result.top5 is None else {"top-5, %": 100 * result.top5}
    return {
        "directory": str(member.path),
        "model": result.model,
        "protocol": result.protocol,
        "top-1, %": 100 * result.top1,
        **top5,
        "cross-entropy": f"{result.cross_entropy:.4f}",
        "calibration error, %": 100 * result.ece,
    }


def _mean_row(result: "Evaluation") -> dict[str, Any]:
    """Returns the last row of the table, for the mean posteriors."""
    from flax_vision.evaluation.ensemble import EnsembleMember

    row = _member_row(EnsembleMember(Path(), result))
    return row | {"directory": "mean of the posteriors"}


def _members_json(members: "Sequence[EnsembleMember]") -> dict[str, Any]:
    """Returns the results of the models of an ensemble; empty for no ensemble."""
    results = [
        {"path": str(path)} | {key: getattr(result, key) for key in _JSON_KEYS}
        for path, result in members
    ]
    return {"members": results} if results else {}


def _confusion(result: "Evaluation") -> "np.ndarray":
    from flax_vision.evaluation.metrics import confusion_matrix

    return confusion_matrix(result.labels, result.predicted, len(result.class_names))


def _json(result: "Evaluation", options: argparse.Namespace) -> dict[str, Any]:
    """Returns the result as a JSON object; accuracies are from 0 to 1."""
    content = {key: getattr(result, key) for key in _JSON_KEYS}
    if options.confusion:
        names, matrix = list(result.class_names), _confusion(result).tolist()
        content |= {"class_names": names, "confusion": matrix}
    if options.per_class:
        content["per_class"] = result.counts.by_class(result.class_names)
    return content


def _print_tables(result: "Evaluation", options: argparse.Namespace) -> None:
    from flax_vision.evaluation.metrics import confusion_table

    form = options.format
    rows = [{"model": name, result.model: text} for name, text in _rows(result).items()]
    print_table(rows, form)
    if options.per_class:
        print()
        print_table(result.counts.table(result.class_names), form)
    if options.confusion:
        rows = confusion_table(_confusion(result), result.class_names)
        print()
        print_table(rows, form) if rows else print("all images are classified correctly")


def _rows(result: "Evaluation") -> dict[str, str]:
    """Returns the rows of the table by their headings."""
    wrong = int((result.labels != result.predicted).sum())
    crops = f"{result.crops}"
    if result.crops_computed < result.crops:
        crops += f", {result.crops_computed} of them different"
    rows = {
        "dataset": result.data,
        "split": result.split,
        "protocol": result.protocol,
        "scales": ", ".join(map(str, result.scales)),
        "crops per image": crops,
        "images": f"{result.images:,}",
        "top-1": f"{result.top1:.2%}  ({wrong:,} of {counted(result.images, 'image')} wrong)",
        "top-5": "" if result.top5 is None else f"{result.top5:.2%}",
        "balanced accuracy": f"{result.balanced_accuracy:.2%}",
        "macro F1": f"{result.f1:.2%}",
        "largest class": f"{result.majority_share:.2%} of the images",
        "calibration error": f"{result.ece:.2%}",
        "cross-entropy": f"{result.cross_entropy:.4f}",
        "seconds": f"{result.seconds:.2f}, and {result.compile_seconds:.2f} of compiling",
        "images/s": f"{result.images_per_second:,.1f}",
    }
    return {name: text for name, text in rows.items() if text}
