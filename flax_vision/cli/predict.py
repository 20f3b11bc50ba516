"""The command `flax-vision predict`."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flax_vision.cli import arguments
from flax_vision.cli.progress import progress
from flax_vision.cli.tables import print_table
from flax_vision.data.options import MAX_PIXELS
from flax_vision.errors import UserError
from flax_vision.runtime.paths import expanded_path
from flax_vision.runtime.terminal import print_error, print_note, print_warning
from flax_vision.text import counted, printable

if TYPE_CHECKING:
    from flax_vision.evaluation.classifier import Classifier, PredictionList

FORMATS = ("table", "json", "csv")

DESCRIPTION = """\
Tells what is in photographs: the most probable classes of each, as the network sees it in its own
test. Those that cannot be read are named; then the exit status is 1."""

EPILOG = """\
Photographs are JPEG, PNG, WebP, AVIF (if Pillow reads it), BMP, GIF (the first picture), TIFF or
PPM files. They may have any size and mode, except 32 bits a channel, and are turned upright by
their EXIF orientation. Folders are searched at any depth; files in them without an extension of
these formats are skipped and counted. Files that are named themselves may have any name. A folder
that is named after a class gives the true class of its photographs. If most photographs look like
negatives of the training images, a hint says so.

examples:
  flax-vision predict runs/lenet5 photographs
  flax-vision predict exports/resnet50 cat.jpg dog.jpg --top 3 --format json
  flax-vision predict exports/resnet50 photographs --picture photographs.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "trained", type=expanded_path, metavar="DIR", help="a run directory, or an export"
    )
    parser.add_argument(
        "photographs",
        nargs="+",
        type=expanded_path,
        metavar="FILE_OR_FOLDER",
        help="photographs, or folders of them",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=5,
        metavar="N",
        help="classes to name of each, or all that there are (default: 5)",
    )
    parser.add_argument(
        "--picture",
        type=expanded_path,
        metavar="FILE",
        help="draw the photographs, 64 at most, with a bar for each class, 20 at most, into a "
        ".png, .pdf or .svg file",
    )
    parser.add_argument(
        "--max-pixels",
        type=arguments.positive,
        default=MAX_PIXELS,
        metavar="N",
        help=f"bound on the pixels of a photograph (default: {MAX_PIXELS:,})",
    )
    parser.add_argument("--overwrite", action="store_true", help="the picture, where it exists")
    parser.add_argument("--format", choices=FORMATS, default="table", help="table if not given")


def run(options: argparse.Namespace) -> int:
    """Predicts, prints what was found, and returns the exit status."""
    from flax_vision.data.file_list import skipped_files
    from flax_vision.evaluation.image_paths import find_images

    paths, others, absent = find_images(options.photographs)
    if others:
        print_note(skipped_files(others))
    if options.picture:
        _check_picture(Path(options.picture), options.overwrite, len(paths))
    from flax_vision.evaluation.classifier import Classifier

    classifier = Classifier(options.trained, max_pixels=options.max_pixels)
    if classifier.note:
        print_warning(classifier.note)
    with progress() as report:
        predictions = classifier.predict(
            paths, options.top, batch_size=options.batch_size, on_progress=report
        )
    unreadable = {**absent, **predictions.unreadable}
    for name, reason in unreadable.items():
        print_error(f"{name!r} cannot be read: {reason}")
    if predictions.hint:
        print_note(f"hint: {predictions.hint}")
    _print(predictions, options.format)
    share = predictions.network_seconds / predictions.seconds
    print_note(
        f"{counted(len(predictions), 'photograph')} in {predictions.seconds:.2f} s, {share:.0%} of "
        "it in the network"
    )
    if options.picture and predictions:
        _draw(classifier, predictions, Path(options.picture))
    return 1 if unreadable else 0


def _check_picture(path: Path, overwrite: bool, count: int) -> None:
    """Raises a UserError where the picture could not be drawn in the end."""
    from flax_vision.analysis.report.figures.predictions import MOST

    if path.is_dir():
        raise UserError(f"--picture {str(path)!r} is a directory; give the name of a file.")
    if path.exists() and not overwrite:
        raise UserError(f"--picture {str(path)!r} exists; give --overwrite, or another name.")
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UserError(
            f"--picture is {str(path)!r}; give a name that ends with .png, .pdf or .svg."
        )
    if not path.absolute().parent.is_dir():
        raise UserError(f"--picture {str(path)!r} is in a folder that does not exist; create it.")
    if count > MOST:
        raise UserError(
            f"--picture shows at most {MOST} photographs, and there are {count:,}; give fewer, or "
            "leave it out."
        )


def _draw(classifier: "Classifier", predictions: "PredictionList", path: Path) -> None:
    from flax_vision.analysis.report.figures.predictions import MOST_BARS, draw

    if len(predictions[0].classes) > MOST_BARS:
        print_note(f"the picture has the {MOST_BARS} most probable classes of each")
    picture = draw(classifier, predictions)
    try:
        picture.savefig(path)
    except OSError as error:
        raise UserError(f"--picture {str(path)!r} cannot be written ({error.strerror}).") from error


def _print(predictions: "PredictionList", form: str) -> None:
    if form == "json":
        print(json.dumps([_content(prediction) for prediction in predictions], indent=2))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("file", "truth", "rank", "class", "probability"))
        for prediction in predictions:
            for rank, (name, share) in enumerate(_ranked(prediction), 1):
                row = (prediction.path, prediction.truth or "", rank, name, f"{share:.6f}")
                writer.writerow(map(printable, row))
    elif predictions:
        print_table([_row(prediction) for prediction in predictions], form)


def _content(prediction: Any) -> dict[str, Any]:
    top = [{"class": name, "probability": share} for name, share in _ranked(prediction)]
    return {"file": str(prediction.path), "truth": prediction.truth, "top": top}


def _row(prediction: Any) -> dict[str, Any]:
    ranked = _ranked(prediction)
    return {
        "file": str(prediction.path),
        "truth": prediction.truth or "",
        "class": [name for name, _ in ranked],
        "probability": [f"{share:7.2%}" for _, share in ranked],
    }


def _ranked(prediction: Any) -> list[tuple[str, float]]:
    shares: list[float] = prediction.probabilities.tolist()
    return list(zip(prediction.classes, shares, strict=True))
