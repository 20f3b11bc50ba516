"""Prints the most probable classes of images.

Images are preprocessed as in the model's own test. An error names each unreadable image, and the
exit status is then 1.

Valid files are JPEG, PNG, WebP, AVIF (if Pillow reads it), BMP, GIF (the first frame), TIFF or PPM.
They may have any size and any mode, except 32 bits a channel, and are turned upright by
their EXIF orientation. Folders are searched at any depth; files in them without an extension of
these formats are skipped and counted. Files that you name yourself may have any name. A folder
named after a class gives the true class of its images. If most images look like negatives of the
training images, a hint says so.

With --ensemble the probabilities are the mean of several models, each with its own preprocessing
and image size. The models need the same classes.

Examples:
  flax-vision predict runs/lenet5 photographs
  flax-vision predict exports/resnet50 cat.jpg dog.jpg --top 3 --format json
  flax-vision predict exports/resnet50 photographs --picture photographs.png
  flax-vision predict runs/resnet20 photographs --ensemble runs/resnet32 runs/resnet44
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax_vision.cli.arguments import add_shared
from flax_vision.cli.console import print_table, progress
from flax_vision.cli.output_file import check_picture
from flax_vision.data.flags import MAX_PIXELS
from flax_vision.errors import UserError
from flax_vision.runtime.files import expanded_path
from flax_vision.runtime.terminal import print_error, print_note, print_warning
from flax_vision.text import counted, printable

if TYPE_CHECKING:
    from flax_vision.evaluation.classifier import Classifier, Prediction, PredictionList


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    add_shared(parser, "trained")
    images = "images, or folders of images"
    add("images", nargs="+", type=expanded_path, metavar="FILE_OR_FOLDER", help=images)
    ensemble = "more run or export directories; all probabilities are averaged"
    add("--ensemble", nargs="+", type=expanded_path, default=[], metavar="DIR", help=ensemble)
    top = "number of classes for each image, at most all classes (default: 5)"
    add("--top", type=int, default=5, metavar="N", help=top)
    picture = """draw the images, at most 64, with a bar for each class, at most 20, into a .png,
        .pdf or .svg file"""
    add("--picture", type=expanded_path, metavar="FILE", help=picture)
    add_shared(parser, "--overwrite")
    pixels = f"bound on the pixels of an image (default: {MAX_PIXELS:,})"
    add_shared(parser, "--max-pixels", default=MAX_PIXELS, help=pixels)
    add_shared(parser, "--batch-size")
    add_shared(parser, "--format", choices=("table", "json", "csv"))


def run(options: argparse.Namespace) -> int:
    """Prints the predictions, and returns the exit status."""
    from flax_vision.data.file_list import skipped_files
    from flax_vision.evaluation.image_paths import find_images

    paths, others, absent = find_images(options.images)
    if others:
        print_note(skipped_files(others))
    if options.picture:
        _check_picture(Path(options.picture), options.overwrite, len(paths))
    from flax_vision.evaluation.classifier import Classifier

    models = [options.trained, *options.ensemble]
    classifier = Classifier(models, max_pixels=options.max_pixels)
    if classifier.note:
        print_warning(classifier.note)
    with progress() as on_progress:
        predictions = classifier.predict(
            paths, options.top, batch_size=options.batch_size, on_progress=on_progress
        )
    unreadable = {**absent, **predictions.unreadable}
    for name, reason in unreadable.items():
        print_error(f"{name!r} cannot be read: {reason}")
    if predictions.hint:
        print_note(f"hint: {predictions.hint}")
    _print(predictions, options.format)
    images, seconds = counted(len(predictions), "image"), predictions.seconds
    share = predictions.model_seconds / seconds
    print_note(f"{images} in {seconds:.2f} s, {share:.0%} of it in the model")
    if options.picture and predictions:
        _draw(classifier, predictions, Path(options.picture))
    return 1 if unreadable else 0


def _check_picture(path: Path, overwrite: bool, count: int) -> None:
    """Raises a UserError if the picture could not be written after the predictions."""
    from flax_vision.analysis.report.figures.predictions import MAX_IMAGES

    check_picture("--picture", path, overwrite)
    if count > MAX_IMAGES:
        raise UserError(
            f"--picture {str(path)!r} shows at most {MAX_IMAGES} images; give fewer, or leave it "
            "out."
        )


def _draw(classifier: "Classifier", predictions: "PredictionList", path: Path) -> None:
    from flax_vision.analysis.report.figures.predictions import MAX_BARS, draw

    if len(predictions[0].classes) > MAX_BARS:
        print_note(f"the picture has the {MAX_BARS} most probable classes of each image")
    picture = draw(classifier, predictions)
    try:
        picture.savefig(path)
    except OSError as error:
        raise UserError(f"--picture {str(path)!r} cannot be written ({error.strerror}).") from error


def _print(predictions: "PredictionList", form: str) -> None:
    if form == "json":
        print(json.dumps([_json(prediction) for prediction in predictions], indent=2))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("file", "truth", "rank", "class", "probability"))
        for prediction in predictions:
            for rank, (name, probability) in enumerate(_ranked(prediction), 1):
                row = (prediction.path, prediction.truth or "", rank, name, f"{probability:.6f}")
                writer.writerow(map(printable, row))
    elif predictions:
        print_table([_row(prediction) for prediction in predictions], form)


def _json(prediction: "Prediction") -> dict[str, Any]:
    top = [{"class": name, "probability": value} for name, value in _ranked(prediction)]
    return {"file": str(prediction.path), "truth": prediction.truth, "top": top}


def _row(prediction: "Prediction") -> dict[str, Any]:
    return {
        "file": str(prediction.path),
        "truth": prediction.truth or "",
        "class": list(prediction.classes),
        "probability": [f"{value:7.2%}" for _, value in _ranked(prediction)],
    }


def _ranked(prediction: "Prediction") -> Iterator[tuple[str, float]]:
    return zip(prediction.classes, prediction.probabilities.tolist(), strict=True)
