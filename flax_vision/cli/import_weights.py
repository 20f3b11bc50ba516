"""Imports the weights of a torchvision model.

Writes an export directory with torchvision's preprocessing and the class names. `flax-vision
evaluate` and `predict`, fine-tuning (--config.init_from=DIR) and fv.load read it. Prints the source
of each array.

SOURCE is a .safetensors file; a .pth or .pt file, which needs PyTorch; or torchvision:NAME, such as
torchvision:IMAGENET1K_V1 or torchvision:DEFAULT, which torchvision downloads. No code in a file is
run.

Examples:
  flax-vision import-weights resnet50_v1_5 resnet50.safetensors exports/resnet50
  flax-vision import-weights resnet50_v1_5 torchvision:DEFAULT exports/resnet50
  flax-vision import-weights vgg16 flowers.pth exports/flowers --classes flowers.txt
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from flax_vision.cli.arguments import add_shared
from flax_vision.cli.console import print_table
from flax_vision.errors import UserError
from flax_vision.runtime.files import expanded_path, read_regular
from flax_vision.runtime.terminal import print_note

if TYPE_CHECKING:
    from flax_vision.weights.import_weights import ImportedModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    add("name", metavar="NAME", help="model, such as resnet50_v1_5")
    add("source", type=expanded_path, metavar="SOURCE", help="file or torchvision:NAME; see below")
    add("directory", type=expanded_path, metavar="DIR", help="new export directory")
    classes = """class names, one a line, in the order of the outputs (default: ImageNet's for 1000
        classes if torchvision is installed, else numbers)"""
    add("--classes", type=expanded_path, metavar="FILE", help=classes)
    resize = "shorter side of resized images (default: torchvision's for its weights, else 256)"
    add("--resize", type=int, metavar="N", help=resize)
    transform = "GoogLeNet: the weights expect ImageNet's mean and deviation, unlike torchvision's"
    add("--no-transform-input", action="store_true", help=transform)
    add_shared(parser, "--format")


def run(options: argparse.Namespace) -> None:
    """Imports the weights, and prints the source of each array."""
    from flax_vision.weights.import_weights import import_weights

    imported = import_weights(
        options.name,
        options.source,
        options.directory,
        class_names=_read_lines(options.classes) if options.classes else None,
        resize=options.resize,
        transform_input=False if options.no_transform_input else None,
    )
    if options.format == "json":
        metadata = dataclasses.asdict(imported.metadata)
        print(json.dumps({**metadata, "arrays": imported.arrays}, indent=2))
    else:
        print_table(imported.arrays, options.format)
    print_note(_summary(imported, options.directory))


def _read_lines(path: str) -> list[str]:
    try:
        lines = read_regular(Path(path)).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--classes {path!r} cannot be read ({reason}); give a text file."
        ) from error
    return [line.strip() for line in lines if line.strip()]


def _summary(imported: "ImportedModel", directory: str) -> str:
    metadata, preprocessing = imported.metadata, imported.metadata.preprocessing
    assert metadata.crop is not None  # imports always have one
    size = metadata.crop.size
    return (
        f"{metadata.name}: {len(imported.arrays):,} arrays, {len(metadata.class_names):,} classes "
        f"(names: {imported.class_names_from}); center crop of {size}x{size} at "
        f"{metadata.crop.eval_resize}, mean {list(preprocessing.mean)}, std "
        f"{list(preprocessing.std)}; written to {directory}"
    )
