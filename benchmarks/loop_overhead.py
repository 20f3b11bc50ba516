"""What the training loop costs: the whole program against its own compiled step.

    python benchmarks/loop_overhead.py

The bare side calls the compiled step on one batch that is on the device already. The whole side is
`fit`: order, batches, display, metrics, checkpoints; once without a validation part, so that both
sides do the same arithmetic, and once with the validation of the embedded recipe. Sides alternate,
and the medians and the ratios of each round are printed.
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


def configuration(network: str, validation: float, epochs: int) -> ConfigDict:
    settings = {"model.name": network, "batch_size": 128, "epochs": epochs}
    settings["data.val_fraction"] = validation
    return load_config(str(CONFIG), [f"--config.{key}={value}" for key, value in settings.items()])


def whole(config: ConfigDict) -> float:
    """Returns the steps a second of a whole run, from its first step to its last."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        result = fit(config, Path(folder), TrainingDisplay())
    return result["step"] / result["train_seconds"]


def bare(config: ConfigDict) -> float:
    """Returns the steps a second of the compiled step alone, on as many steps."""
    experiment = build_experiment(config, lambda *report: None)
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
    parser.add_argument("--network", default="lenet5_modern")
    parser.add_argument("--epochs", type=int, default=30, help="of 31 steps (default: 30)")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    sides = {
        "bare compiled step": lambda: bare(configuration(options.network, 0, options.epochs)),
        "whole program": lambda: whole(configuration(options.network, 0, options.epochs)),
        "with validation": lambda: whole(configuration(options.network, 0.1, options.epochs)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, measure in sides.items():
            speeds[name].append(measure())
    print(f"{options.network}, batch 128, {options.rounds} rounds: steps a second, median")
    for name, measured in speeds.items():
        ratios = sorted(a / b for a, b in zip(measured, speeds["bare compiled step"], strict=True))
        print(
            f"  {name:20} {statistics.median(measured):7.1f}   of the bare step: "
            f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


if __name__ == "__main__":
    main()
