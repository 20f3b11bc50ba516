"""Prints a model as its paper's table.

The table has the layers with their kernels (size/stride and number), output, parameters and
multiply-adds for one image. Nothing is compiled, except with --mesh: then the gradients are
compiled for as many emulated devices. The bytes that each device stores and sends are read from
that program, and from the program of as many devices that share only the batch.
"""

import argparse
import json
from functools import partial

from flax_vision.cli import arguments
from flax_vision.cli.console import print_table
from flax_vision.errors import UserError
from flax_vision.text import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    add("name", help="model, see `flax-vision models`")
    size = "height and width of the images (default: the paper's)"
    add("--image-size", type=arguments.image_size, metavar="N|HxW", help=size)
    add("--num-classes", type=int, metavar="N", help="default: the paper's")
    mesh = "devices that share a batch, data=N, or AlexNet's columns, column=2, or both"
    add("--mesh", type=arguments.mesh_axes, metavar="AXIS=N[,AXIS=N]", help=mesh)
    batch = "images in a step, on all devices together (default: 128)"
    arguments.add_shared(parser, "--batch-size", default=128, help=batch)
    arguments.add_shared(parser, "--options", "--format")


def run(options: argparse.Namespace) -> None:
    """Prints the layers, and the communication of a mesh."""
    from flax_vision.models.registry import create_model, find_variant
    from flax_vision.models.summary import summarize, totals

    model_options = dict(options.options)
    if "num_classes" in model_options:
        raise UserError("--options has num_classes; give --num-classes N for it.")
    create = partial(create_model, options.name, num_classes=options.num_classes, **model_options)
    *size, channels = find_variant(options.name).image_shape
    image_shape = (*(options.image_size or size), channels)
    rows = summarize(create(), image_shape)
    sums = totals(rows)
    layers = [row.to_dict() for row in rows + sums]
    batch_size, meshes = options.batch_size, {}
    if options.mesh:
        from flax_vision.analysis.communication import compare_with_data_parallel as compare

        meshes = compare(create, options.mesh, rows, image_shape, batch_size)
    if meshes and options.format == "json":
        print(json.dumps({"layers": layers, "batch_size": batch_size, **meshes}, indent=2))
        return
    print_table(layers, options.format, len(sums))
    step = f"a step of {counted(batch_size, 'image')}"
    for mesh, table in meshes.items():
        print(f"\n{mesh}: bytes on each device, and that it sends in {step}\n")
        print_table(table, options.format, 1)
