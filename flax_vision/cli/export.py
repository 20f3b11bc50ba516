"""The command `flax-vision export`."""

import argparse

from flax_vision.runtime.paths import expanded_path
from flax_vision.runtime.terminal import print_warning
from flax_vision.text import printable

DESCRIPTION = """\
Writes a trained network, as training or an import left it behind, for another program. Every form
but the first two is of one size of images, the network's own, and of any number of them."""

EPILOG = """\
formats:
  orbax        a directory with parameters and statistics, which any Orbax reads, and model.json;
               also what fv.load and the other commands here take
  safetensors  our arrays by our names, such as params/conv1/kernel; model.json in its metadata
  torchvision  a state dictionary for load_state_dict of torchvision's network, as .pth, for which
               PyTorch is needed, or as .safetensors; of the networks that torchvision has
  stablehlo    parameters and computation in one file for CPU, CUDA and TPU, which JAX runs alone
  onnx         the same as an ONNX graph, through jax2onnx; of networks that compute in float32

Each export has the class names, in the order of the logits. orbax has them in model.json;
safetensors (torchvision's too) and onnx in their metadata, as JSON under class_names; .pth, .pt and
.stablehlo in a copy of model.json beside the file, such as lenet5.stablehlo.json.

stablehlo and onnx take float32 images [N, H, W, C], preprocessed, and return logits [N, classes];
stablehlo with --preprocessing takes uint8 images of the data set's size. Three lines run it:
  import jax
  network = jax.export.deserialize(bytearray(open("lenet5.stablehlo", "rb").read()))
  logits = network.call(images)

examples:
  flax-vision export runs/lenet5 --format orbax -o lenet5
  flax-vision export runs/lenet5 --format safetensors -o lenet5.safetensors
  flax-vision export runs/lenet5 --format stablehlo --preprocessing -o lenet5.stablehlo
"""

FORMATS = ("orbax", "safetensors", "torchvision", "stablehlo", "onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "trained", type=expanded_path, metavar="DIR", help="a run directory, or an export"
    )
    parser.add_argument("--format", required=True, choices=FORMATS, help="see below")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        type=expanded_path,
        metavar="PATH",
        help="a path that does not exist yet",
    )
    parser.add_argument(
        "--preprocessing",
        action="store_true",
        help="stablehlo: make it a part of the network, which then takes pixels from 0 to 255",
    )


def run(options: argparse.Namespace) -> None:
    """Writes it, and prints where it is."""
    from flax_vision.weights.export import export

    note = export(options.trained, options.format, options.output, options.preprocessing)
    if note:
        print_warning(note)
    print(printable(options.output))
