"""Speed of the forms of a convolution on this CPU: GFLOP/s for shapes of the five papers' models.

    python benchmarks/convolutions.py

For each shape, the table has the convolution, its input gradient and its kernel gradient. Each is
computed by XLA, by the form that `ops/cpu/dispatch.py` chooses, and by oneDNN. The bounds in that
file come from this table.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from flax_vision.analysis.benchmark import time_steps
from flax_vision.cli.console import print_table
from flax_vision.ops.cpu import dispatch, onednn_library, xla_convolution
from flax_vision.ops.cpu.xla_convolution import Geometry
from flax_vision.ops.padding import output_size

# Images, their size, channels, kernels, size of a kernel, stride, padding.
SHAPES = [
    (128, 28, 1, 6, 5, 1, 2),
    (128, 14, 6, 16, 5, 1, 0),
    (32, 224, 3, 64, 11, 4, 2),
    (32, 27, 64, 192, 5, 1, 2),
    (32, 27, 48, 128, 5, 1, 2),
    (32, 13, 384, 256, 3, 1, 1),
    (8, 224, 64, 64, 3, 1, 1),
    (8, 112, 128, 128, 3, 1, 1),
    (8, 56, 256, 256, 3, 1, 1),
    (8, 28, 512, 512, 3, 1, 1),
    (8, 14, 512, 512, 3, 1, 1),
    (64, 32, 64, 64, 3, 1, 1),
    (64, 4, 512, 512, 3, 1, 1),
    (64, 2, 512, 512, 3, 1, 1),
    (16, 28, 16, 32, 5, 1, 2),
    (16, 28, 32, 96, 5, 1, 2),
    (16, 14, 32, 128, 5, 1, 2),
    (16, 7, 48, 128, 5, 1, 2),
    (16, 224, 3, 64, 7, 2, 3),
    (16, 56, 64, 64, 3, 1, 1),
    (16, 28, 96, 128, 3, 1, 1),
    (16, 28, 128, 128, 3, 1, 1),
    (16, 14, 96, 208, 3, 1, 1),
    (16, 14, 24, 64, 3, 1, 1),
    (16, 14, 256, 256, 3, 1, 1),
    (16, 56, 64, 256, 1, 1, 0),
    (16, 56, 256, 64, 1, 1, 0),
    (16, 28, 128, 512, 1, 1, 0),
    (16, 56, 128, 128, 3, 2, 1),
    (16, 14, 1024, 256, 1, 1, 0),
    (16, 7, 512, 512, 3, 1, 1),
    (128, 32, 16, 16, 3, 1, 1),
    (128, 16, 32, 32, 3, 1, 1),
    (4, 56, 64, 64, 3, 1, 1),
    (128, 8, 64, 64, 3, 1, 1),
]


TARGETS = {
    "conv": "flax_vision_convolution",
    "input_gradient": "flax_vision_convolution_input_gradient",
    "kernel_gradient": "flax_vision_convolution_kernel_gradient",
}


def by_onednn(name: str, geometry: Geometry) -> Callable[..., jax.Array]:
    pads = np.asarray(geometry.padding, np.int64).ravel()
    result = jax.ShapeDtypeStruct(geometry.shape, np.float32)
    call = jax.ffi.ffi_call(TARGETS[name], result)
    attributes: dict[str, Any] = {"stride": np.int64(geometry.stride), "padding": pads}
    if name == "conv":
        attributes["relu"] = False
    return lambda *operands: call(*operands, **attributes)


def gigaflops(function: Callable[..., jax.Array], operations: float, *operands: Any) -> float:
    compiled = jax.jit(function).lower(*operands).compile()
    times = time_steps(lambda: compiled(*operands).block_until_ready(), 0.5)
    return operations / float(np.median(times)) / 1e9


def row(
    images: int, size: int, channels: int, kernels: int, window: int, stride: int, pad: int
) -> dict[str, Any]:
    random = np.random.default_rng(0)
    draw = lambda *shape: jax.device_put(random.standard_normal(shape, np.float32))  # noqa: E731
    x, kernel = draw(images, size, size, channels), draw(window, window, channels, kernels)
    output = output_size(size, window, stride, (pad, pad))
    y = draw(images, output, output, kernels)
    operations = 2 * y.size * window**2 * channels
    cells: dict[str, Any] = {
        "images": f"{images}x{size}x{size}x{channels}",
        "kernels": f"{kernels} of {window}x{window}",
        "stride": stride,
    }
    for title, name, operands, result in (
        ("", "conv", (x, kernel), y),
        ("input, ", "input_gradient", (y, kernel), x),
        ("kernel, ", "kernel_gradient", (x, y), kernel),
    ):
        geometry = Geometry(result.shape, stride, ((pad, pad), (pad, pad)))
        forms = {
            "XLA": partial(getattr(xla_convolution, f"{name}_xla"), geometry=geometry),
            "chosen": partial(getattr(dispatch, f"{name}_jax"), geometry=geometry),
        }
        if onednn_library.unavailable_reason() is None:
            forms["oneDNN"] = by_onednn(name, geometry)
        for form, function in forms.items():
            cells[title + form] = round(gigaflops(function, operations, *operands))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--window", type=int, help="only kernels of this size")
    options = parser.parse_args()
    shapes = [shape for shape in SHAPES if options.window in (None, shape[4])]
    print_table([row(*shape) for shape in shapes], "markdown")


if __name__ == "__main__":
    main()
