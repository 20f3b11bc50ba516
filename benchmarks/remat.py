"""Measures the memory that recomputation saves in a training step, and its time.

    python benchmarks/remat.py                                # ResNet-50, VGG-16 and GoogLeNet.
    python benchmarks/remat.py resnet50 --batch-size 8 --time

It compiles the training step with and without `model.remat`, and prints the memory of activations
and other temporary values, without the weights and the optimizer's state. With `--time`, it also
measures steps of both in turns.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
import statistics

from flax_vision.analysis.benchmark import compile_step, create_model_and_batch, time_steps
from flax_vision.cli.console import print_table

MIB = 2**20


def measure(name: str, batch_size: int, image_size: int | None, rounds: int) -> dict[str, str]:
    """Returns the row of a model."""
    steps, memory = [], []
    for remat in (False, True):
        model, batch = create_model_and_batch(name, batch_size, image_size, {"remat": remat})
        step, compiled = compile_step(model, "training", batch)
        steps.append(step)
        memory.append(compiled.memory_analysis().temp_size_in_bytes)
    row = {
        "model": name,
        "memory, MiB": f"{memory[0] / MIB:,.0f}",
        "with remat": f"{memory[1] / MIB:,.0f}",
        "share": f"{memory[1] / memory[0]:.0%}",
    }
    if rounds:
        times: list[list[float]] = [[], []]
        for _ in range(rounds):
            for found, step in zip(times, steps, strict=True):
                found += time_steps(step, 3.0)
        plain, remat_time = map(statistics.median, times)
        row["time"] = f"{remat_time / plain - 1:+.0%}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=["resnet50", "vgg16", "googlenet"])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--image-size", type=int, help="default: the paper's")
    parser.add_argument("--time", action="store_true", help="measure steps too")
    options = parser.parse_args()
    rounds = 3 if options.time else 0
    rows = [
        measure(name, options.batch_size, options.image_size, rounds) for name in options.models
    ]
    print_table(rows, "markdown")


if __name__ == "__main__":
    main()
