"""Trains LeNet-5 with each optimizer, at the learning rate that a range test suggests.

    python benchmarks/optimizers.py                     # All optimizers.
    python benchmarks/optimizers.py adam lion --seed 1  # Two of them.

It trains `lenet5_modern` on the embedded digits by its recipe, with another optimizer and its usual
weight decay, and prints the suggested rate and the test accuracy. All take a minute on two cores.
"""

import argparse

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import flax_vision as fv
from flax_vision.cli.console import print_table
from flax_vision.runtime import environment
from flax_vision.training.config_loader import load_config
from flax_vision.training.lr_finder import find_learning_rate

OPTIMIZERS = {
    "sgd": {"weight_decay": 0.003},  # the recipe's
    "sgd, Nesterov": {"weight_decay": 0.003, "nesterov": True},
    "adam": {"name": "adam", "weight_decay": 0.003},
    "rmsprop": {"name": "rmsprop", "weight_decay": 0.003},
    "adamw": {"name": "adamw", "weight_decay": 0.3},
    "lamb": {"name": "lamb", "weight_decay": 0.3},
    "lion": {"name": "lion", "weight_decay": 1.0},  # more, because its rates are lower
}
"""Keys of the section `optimizer` by title; decay is decoupled for the last three."""


def measure(title: str, seed: int) -> dict[str, str]:
    """Returns a row of the table."""
    config = load_config("lenet5", ["--config.model.name=lenet5_modern"])
    config.seed = seed
    config.write_report = False
    config.optimizer.update(OPTIMIZERS[title])
    config.schedule.lr = find_learning_rate(config).suggestion
    accuracy = fv.train(config).result["test/top1"]
    return {"optimizer": title, "rate": f"{config.schedule.lr:.2g}", "test": f"{accuracy:.1%}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("optimizers", nargs="*", default=list(OPTIMIZERS), help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print_table([measure(title, options.seed) for title in options.optimizers], "markdown")


if __name__ == "__main__":
    main()
