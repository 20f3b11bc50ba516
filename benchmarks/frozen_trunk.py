"""How much faster a network is trained where only its last layer is.

`python benchmarks/frozen_trunk.py` times steps of ResNet-50 on 16 random images of 224x224, both
ways by turns, and prints the median of each and how many times as fast the second is. `--network`,
`--freeze`, `--batch-size` and `--rounds` change that.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
import statistics

from flax_vision.analysis.benchmark import compile_step, create_model_and_batch, time_steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet50_v1_5")
    parser.add_argument("--freeze", default="(?!fc).*", help="regular expression of layers")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model, batch = create_model_and_batch(options.network, options.batch_size, None, {})
    steps = {
        what: compile_step(model, "training", batch, freeze)[0]
        for what, freeze in {"all layers": "", f"without {options.freeze}": options.freeze}.items()
    }
    times: dict[str, list[float]] = {what: [] for what in steps}
    for _ in range(options.rounds):
        for what, step in steps.items():
            times[what] += time_steps(step, 3.0)
    medians = [statistics.median(found) for found in times.values()]
    for what, median in zip(times, medians, strict=True):
        print(f"{options.network}, {what}: {median * 1e3:,.0f} ms a step")
    print(f"ratio: {medians[0] / medians[1]:.2f}")


if __name__ == "__main__":
    main()
