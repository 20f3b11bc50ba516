"""Measures the cost of the training loop: the whole program against its own compiled step.

    python benchmarks/loop_overhead.py

The bare step runs on one batch that is already on the device. The whole program is `fit`, with the
order of the images, batches, display, metrics and checkpoints. It runs once without validation, so
that both do the same arithmetic, and once with the recipe's validation. The sides alternate. It
prints the median speeds, and the ratios of each round.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import jax
from ml_collections import ConfigDict

from flax_vision.cli.training_display import TrainingDisplay
from flax_vision.data.batches import training_batches
from flax_vision.training.build import build_experiment
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit

CONFIG = Path(__file__).parents[1] / "configs/lenet5.py"


def configuration(model: str, val_fraction: float, epochs: int) -> ConfigDict:
    settings = {"model.name": model, "batch_size": 128, "epochs": epochs}
    settings["data.val_fraction"] = val_fraction
    return load_config(str(CONFIG), [f"--config.{key}={value}" for key, value in settings.items()])


def whole(config: ConfigDict) -> float:
    """Returns the steps per second of a whole run, from its first step to its last."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        result = fit(config, Path(folder), TrainingDisplay())
    return result["step"] / result["train_seconds"]


def bare(config: ConfigDict) -> float:
    """Returns the steps per second of the compiled step alone, for as many steps."""
    experiment = build_experiment(config, lambda *progress: None)
    experiment.functions.compile()
    batch = next(training_batches(experiment.splits.train, config.batch_size, config.seed, 0))
    batch = jax.device_put(batch)
    state = experiment.functions.train_step(experiment.functions.init(config.seed), batch)
    jax.block_until_ready(state)
    start = time.monotonic()
    for _ in range(experiment.total_steps):
        state = experiment.functions.train_step(state, batch)
    jax.block_until_ready(state)
    return experiment.total_steps / (time.monotonic() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="lenet5_modern")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of 31 steps (default: 30)")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    sides = {
        "bare compiled step": lambda: bare(configuration(options.model, 0, options.epochs)),
        "whole program": lambda: whole(configuration(options.model, 0, options.epochs)),
        "with validation": lambda: whole(configuration(options.model, 0.1, options.epochs)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, measure in sides.items():
            speeds[name].append(measure())
    print(f"{options.model}, batch 128, {options.rounds} rounds: steps a second, median")
    for name, measured in speeds.items():
        ratios = sorted(a / b for a, b in zip(measured, speeds["bare compiled step"], strict=True))
        print(
            f"  {name:20} {statistics.median(measured):7.1f}   of the bare step: "
            f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


if __name__ == "__main__":
    main()
