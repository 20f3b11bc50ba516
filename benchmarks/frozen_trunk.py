"""Measures how much faster training is if only the last layer is trained.

    python benchmarks/frozen_trunk.py

It times steps of ResNet-50 on 16 random images of 224x224. Steps that train all layers alternate
with steps that train only `fc`. It prints the median of each, and their ratio.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
import statistics

from flax_vision.analysis.benchmark import compile_step, create_model_and_batch, time_steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet50_v1_5")
    parser.add_argument("--freeze", default="(?!fc).*", help="regular expression of frozen layers")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model, batch = create_model_and_batch(options.model, options.batch_size, None, {})
    steps = {
        name: compile_step(model, "training", batch, freeze)[0]
        for name, freeze in {"all layers": "", f"without {options.freeze}": options.freeze}.items()
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            times[name] += time_steps(step, 3.0)
    medians = [statistics.median(found) for found in times.values()]
    for name, median in zip(times, medians, strict=True):
        print(f"{options.model}, {name}: {median * 1e3:,.0f} ms a step")
    print(f"ratio: {medians[0] / medians[1]:.2f}")


if __name__ == "__main__":
    main()
