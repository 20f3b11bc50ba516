"""Writes a trained or imported model for another program.

stablehlo and onnx are for one image size, the model's own, and for any batch size.

Formats:
  orbax        A directory with parameters and statistics for any Orbax, and model.json. fv.load and
               the other commands read it.
  safetensors  Our arrays by our names, such as params/conv1/kernel; model.json in its metadata.
  torchvision  A state dictionary for load_state_dict of torchvision's model, as .pth, which needs
               PyTorch, or as .safetensors; only for models that torchvision has.
  stablehlo    Parameters and computation in one file for CPU, CUDA and TPU. JAX alone can run it.
  onnx         The same as an ONNX graph, through jax2onnx; only for models that compute in float32.

Each export has the class names, in the order of the logits. orbax has them in model.json.
safetensors (torchvision's too) and onnx have them in their metadata, as JSON under class_names.
.pth, .pt and .stablehlo have a copy of model.json beside the file, such as lenet5.stablehlo.json.

stablehlo and onnx take float32 images [N, H, W, C], preprocessed, and return logits [N, classes].
With --preprocessing they take uint8 images of the dataset's size, or of the crop of image files.
The file lenet5.stablehlo.json and the ONNX metadata describe the input as JSON: model_name,
class_names, input_size, input_dtype, mean, std and resize. resize is the length of the shorter side
before the center crop.
examples/classify_onnx.py and examples/classify_stablehlo.py classify an image file.

Three lines run a stablehlo file:
  import jax
  model = jax.export.deserialize(bytearray(open("lenet5.stablehlo", "rb").read()))
  logits = model.call(images)

These commands export a run in three formats.
  flax-vision export runs/lenet5 --format orbax -o lenet5
  flax-vision export runs/lenet5 --format safetensors -o lenet5.safetensors
  flax-vision export runs/lenet5 --format onnx --preprocessing -o lenet5.onnx
"""

import argparse

from flax_vision.cli.arguments import add_shared
from flax_vision.runtime.files import expanded_path
from flax_vision.runtime.terminal import print_warning
from flax_vision.text import printable

FORMATS = ("orbax", "safetensors", "torchvision", "stablehlo", "onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add = parser.add_argument
    add_shared(parser, "trained")
    add("--format", required=True, choices=FORMATS, help="see below")
    add("-o", "--output", required=True, type=expanded_path, metavar="PATH", help="a new path")
    preprocessing = "stablehlo, onnx: include the preprocessing; the model takes pixels 0 to 255"
    add("--preprocessing", action="store_true", help=preprocessing)


def run(options: argparse.Namespace) -> None:
    """Writes the export, and prints its path."""
    from flax_vision.weights.export import export

    warning = export(options.trained, options.format, options.output, options.preprocessing)
    if warning:
        print_warning(warning)
    print(printable(options.output))
