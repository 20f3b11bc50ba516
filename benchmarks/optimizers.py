"""Trains LeNet-5 with each optimizer, at the learning rate that a range test suggests.

    python benchmarks/optimizers.py                     # All optimizers.
    python benchmarks/optimizers.py adam lion --seed 1  # Two of them.

It trains `lenet5_modern` on the embedded digits by its recipe, but with the optimizer and without
weight decay. It prints the suggested rate and the test accuracy. All optimizers take four minutes
on two cores.
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
    "sgd": {},
    "sgd, Nesterov": {"nesterov": True},
    "adam": {"name": "adam"},
    "adamw": {"name": "adamw"},
    "rmsprop": {"name": "rmsprop"},
    "lamb": {"name": "lamb"},
    "lion": {"name": "lion"},
}
"""Keys of the section `optimizer`, by title of the row."""


def measure(title: str, seed: int) -> dict[str, str]:
    """Returns a row of the table."""
    config = load_config("lenet5", ["--config.model.name=lenet5_modern"])
    config.seed = seed
    config.write_report = False
    config.optimizer.update({"weight_decay": 0.0, **OPTIMIZERS[title]})
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
