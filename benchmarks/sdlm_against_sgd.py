"""Compares LeNet-5's own optimizer with plain gradient descent, in one picture.

    python benchmarks/sdlm_against_sgd.py                    # Fashion-MNIST, about an hour.

All runs train the paper's model with one pattern at a time, in the same order, from the same
weights and with the same table of rates. The stochastic diagonal Levenberg-Marquardt method (SDLM)
divides a rate by mu and the curvature. Gradient descent uses the rate itself, and in a third run
the rate over mu. Each run resumes after a stop, as with `train.py`. It prints a line for each pass,
and draws the error on the validation images.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from flax_vision.cli.console import print_table
from flax_vision.cli.training_display import TrainingDisplay
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit

SGD = ["optimizer.name=sgd", "optimizer.momentum=0.0", "optimizer.damping=0.02"]


def settings(config: str) -> dict[str, list[str]]:
    """Returns the overrides of each run, by its name."""
    recipe = load_config(config, [])
    rate = recipe.schedule.lr / recipe.optimizer.damping
    return {
        "SDLM": [],
        "SGD, the same rates": SGD,
        "SGD, the same rates over mu": [*SGD, f"schedule.lr={rate}"],
    }


def train(config: str, overrides: list[str], workdir: Path) -> list[float]:
    """Returns the validation error after each pass, in percent."""
    settings = [f"--config.{override}" for override in overrides]
    fit(load_config(config, settings), workdir, TrainingDisplay())
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [100 * (1 - x["validation/top1"]) for x in records if "epoch" in x]


def draw(errors: dict[str, list[float]], file: Path) -> None:
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, by_pass in errors.items():
        axis.plot(range(1, len(by_pass) + 1), by_pass, marker="o", label=name)
    axis.set_xlabel("pass through the training images")
    axis.set_ylabel("validation error, %")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks(range(1, 1 + max(map(len, errors.values()))))
    axis.legend()
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/lenet5.py:fashion_mnist_paper")
    parser.add_argument("--output", type=Path, default=Path("runs/sdlm_against_sgd"))
    options = parser.parse_args()
    errors = {
        name: train(options.config, overrides, options.output / f"{i}")
        for i, (name, overrides) in enumerate(settings(options.config).items())
    }
    passes = range(len(errors["SDLM"]))
    print_table(
        [{"pass": i + 1} | {name: f"{e[i]:.2f} %" for name, e in errors.items()} for i in passes],
        "markdown",
    )
    draw(errors, options.output / "errors.png")
    print(options.output / "errors.png")


if __name__ == "__main__":
    main()
