"""Compares a recipe with and without `modern`, for the same number of epochs.

    python benchmarks/modern.py                     # ResNet-20 on Fashion-MNIST, 8 epochs.
    python benchmarks/modern.py --epochs 25 --seeds 0 1 2
    python benchmarks/modern.py --set optimizer.ema_decay=0.999 --set augmentation.mixup=0.0

The same command resumes stopped runs. `--set` changes a key of the runs with `modern`. The program
prints the test accuracy of each run, and the mean gain of `modern`.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
import statistics
from pathlib import Path
from typing import Any

from flax_vision.cli.console import print_table
from flax_vision.cli.default_workdir import default_workdir
from flax_vision.cli.training_display import TrainingDisplay
from flax_vision.training.config_loader import load_config
from flax_vision.training.config_schema import split_spec
from flax_vision.training.fit import fit


def train(spec: str, settings: list[str], output: Path) -> dict[str, Any]:
    """Trains one recipe, and returns its result."""
    overrides = [f"--config.{setting}" for setting in settings]
    workdir = output / Path(default_workdir(spec, overrides)).name
    return fit(load_config(spec, overrides), workdir, TrainingDisplay())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/resnet20.py:fashion_mnist")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--output", type=Path, default=Path("runs/modern"))
    options = parser.parse_args()
    path, recipe = split_spec(options.config)
    modern_spec = f"{path}:{'+'.join(filter(None, [recipe, 'modern']))}"
    rows = []
    for seed in options.seeds:
        shared = [f"epochs={options.epochs}", f"seed={seed}", "write_report=False"]
        plain = train(options.config, shared, options.output)
        modern = train(modern_spec, [*shared, *options.set], options.output)
        rows.append((seed, 100 * plain["test/top1"], 100 * modern["test/top1"]))
    print_table(
        [
            {"seed": seed, "plain": f"{one:.2f} %", "modern": f"{other:.2f} %"}
            for seed, one, other in rows
        ],
        "markdown",
    )
    gain = statistics.mean(other - one for _, one, other in rows)
    print(f"modern: {gain:+.2f} percentage points at {options.epochs} epochs")


if __name__ == "__main__":
    main()
