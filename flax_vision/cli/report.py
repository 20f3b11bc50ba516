"""The command `flax-vision report`."""

import argparse

from flax_vision.cli.progress import progress
from flax_vision.errors import UserError
from flax_vision.runtime.paths import expanded_path
from flax_vision.runtime.terminal import print_warning
from flax_vision.text import printable

DESCRIPTION = """\
Writes DIR/report/: index.html, a page that opens without a network and wherever the directory is,
and its pictures as PNG files, each for a light and for a dark page (-dark). A run
writes it at its end, unless --config.write_report=False. The report of an unfinished run shows its
best checkpoint."""

EPILOG = """\
on the page:
  loss, accuracy and learning rate by epoch; the confusion matrix of the test images; the mistakes
  that the network was surest of; the kernels of the first layer; what each stage makes of a few
  test images; the table of the layers; configuration, versions and times.
  Where the test images cannot be had any more, their figures are left out, with a warning.

examples:
  flax-vision report runs/lenet5
  flax-vision report runs/resnet50-folder --image-dir ~/photographs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument("run_directory", type=expanded_path, metavar="DIR", help="a run directory")
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
        help="where the run's folder of photographs is now, or another with the same classes",
    )


def run(options: argparse.Namespace) -> None:
    """Writes the report, and prints where it is."""
    from flax_vision.analysis.report.writer import write_report

    try:
        with progress() as report:
            page, warning = write_report(
                options.run_directory,
                directory=options.tfds_dir,
                folder=options.image_dir,
                on_progress=report,
            )
    except OSError as error:
        raise UserError(
            f"the report cannot be written ({error}); mend that, and give the command again."
        ) from error
    if warning:
        print_warning(warning)
    print(printable(page))
