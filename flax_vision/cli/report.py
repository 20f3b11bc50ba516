"""Writes a page about a run.

The page DIR/report/index.html opens offline and wherever you move DIR. Its figures are PNG files,
each for a light and for a dark page (-dark). A run writes its report at the end, except with
--config.write_report=False. The report of an unfinished run shows its best checkpoint.

Sections of the page:
  Loss, accuracy and learning rate by epoch; the confusion matrix of the test images; precision,
  recall and F1 of each class; the calibration; all mistakes; the kernels of the first layer; the
  feature maps of a few test images; the table of the layers; configuration, versions and times.
  Without the test images, their figures are left out, with a warning.

--mistakes SPLIT writes the page DIR/report/mistakes-SPLIT.html instead. It shows all mistakes on a
split, with their paths. On training images, the most confident mistakes are often wrong labels.

Examples:
  flax-vision report runs/lenet5
  flax-vision report runs/lenet5 --mistakes train
  flax-vision report runs/resnet50-folder --image-dir ~/photographs
"""

import argparse
from functools import partial

from flax_vision.cli.arguments import add_shared
from flax_vision.cli.console import progress
from flax_vision.errors import UserError
from flax_vision.runtime.files import expanded_path
from flax_vision.runtime.terminal import print_warning
from flax_vision.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("run_directory", type=expanded_path, metavar="DIR", help="run directory")
    add_shared(parser, "--tfds-dir")
    folder = "the run's folder of images, or another with the same classes"
    add_shared(parser, "--image-dir", help=folder)
    add_shared(parser, "--labels")
    mistakes = "write the page of all mistakes on train, validation or test images instead"
    splits = ("train", "validation", "test")
    parser.add_argument("--mistakes", choices=splits, metavar="SPLIT", help=mistakes)


def run(options: argparse.Namespace) -> None:
    """Writes the report, and prints its path."""
    from flax_vision.analysis.report.writer import write_mistakes, write_report

    write = partial(write_mistakes, split=options.mistakes) if options.mistakes else write_report
    try:
        with progress() as on_progress:
            page, warning = write(
                options.run_directory,
                tfds_dir=options.tfds_dir,
                image_dir=options.image_dir,
                labels=options.labels,
                on_progress=on_progress,
            )
    except OSError as error:
        raise UserError(
            f"the report cannot be written ({error}); correct that and repeat the command."
        ) from error
    if warning:
        print_warning(warning)
    print(printable(page))
