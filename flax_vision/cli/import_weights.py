"""The command `flax-vision import-weights`."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from flax_vision.cli.tables import FORMATS, print_table
from flax_vision.errors import UserError
from flax_vision.runtime.paths import expanded_path
from flax_vision.runtime.regular_files import read_regular
from flax_vision.runtime.terminal import print_note

if TYPE_CHECKING:
    from flax_vision.weights.import_weights import ImportedModel

DESCRIPTION = """\
Makes an export directory of weights for torchvision's form of a network, which `flax-vision
evaluate` and `predict`, fine-tuning (--config.init_from=DIR) and fv.load take. What torchvision
does to a photograph is kept in it, and the names of the classes. Prints what became of each
array."""

EPILOG = """\
SOURCE is a .safetensors file; a .pth or .pt file, for which PyTorch has to be installed; or
torchvision:NAME, such as torchvision:IMAGENET1K_V1 or torchvision:DEFAULT, which torchvision
downloads. Nothing in a file is run.

examples:
  flax-vision import-weights resnet50_v1_5 resnet50.safetensors exports/resnet50
  flax-vision import-weights resnet50_v1_5 torchvision:DEFAULT exports/resnet50
  flax-vision import-weights vgg16 flowers.pth exports/flowers --classes flowers.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument("name", metavar="NAME", help="the network, such as resnet50_v1_5")
    parser.add_argument(
        "source",
        type=expanded_path,
        metavar="SOURCE",
        help="source of its weights, see below",
    )
    parser.add_argument(
        "directory",
        type=expanded_path,
        metavar="DIR",
        help="the export directory, to be created",
    )
    parser.add_argument(
        "--classes",
        type=expanded_path,
        metavar="FILE",
        help="names of the classes, one a line in the order of the outputs (default: ImageNet's "
        "where there are 1000 and torchvision is installed, and else numbers)",
    )
    parser.add_argument(
        "--resize",
        type=int,
        metavar="N",
        help="shorter side that photographs are brought to (default: as torchvision says of its "
        "weights, and else 256)",
    )
    parser.add_argument(
        "--no-transform-input",
        action="store_true",
        help="GoogLeNet: its weights take ImageNet's mean and deviation, unlike those that "
        "torchvision publishes",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="table if not given")


def run(options: argparse.Namespace) -> None:
    """Imports, and prints what was mapped."""
    from flax_vision.weights.import_weights import import_weights

    imported = import_weights(
        options.name,
        options.source,
        options.directory,
        class_names=_lines(options.classes) if options.classes else None,
        resize=options.resize,
        transform_input=False if options.no_transform_input else None,
    )
    if options.format == "json":
        metadata = dataclasses.asdict(imported.metadata)
        print(json.dumps({**metadata, "arrays": imported.arrays}, indent=2))
    else:
        print_table(imported.arrays, options.format)
    print_note(_summary(imported, options.directory))


def _lines(path: str) -> list[str]:
    try:
        lines = read_regular(Path(path)).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"--classes {path!r} cannot be read ({reason}); give a text file."
        ) from error
    return [line.strip() for line in lines if line.strip()]


def _summary(imported: "ImportedModel", directory: str) -> str:
    metadata = imported.metadata
    assert metadata.crop is not None  # of an import
    return (
        f"{metadata.name}: {len(imported.arrays):,} arrays, {len(metadata.class_names):,} classes "
        f"(names: {imported.class_names_from}); center crop of {metadata.crop.size}x"
        f"{metadata.crop.size} at {metadata.crop.eval_resize}, "
        f"less {list(metadata.preprocessing.mean)}, over {list(metadata.preprocessing.std)}; "
        f"written to {directory}"
    )
