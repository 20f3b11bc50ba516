"""Runs of an experiment without training."""

from pathlib import Path

from flax_vision.papers.experiment import Run


def fake_run(label: str, errors: list[float], seed: int = 0, path: Path = Path("run")) -> Run:
    """Returns a run whose training and test errors by epoch are given in percent.

    Args:
      label: Name of the setting.
      errors: Errors; those of the training are half as large.
      seed: Seed.
      path: Run directory.
    """
    records = [
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "train/top1": 1 - error / 200,
            "test/top1": 1 - error / 100,
        }
        for epoch, error in enumerate(errors, 1)
    ]
    result = {"test/top1": 1 - min(errors) / 100, "train_seconds": 5.0}
    return Run(label, seed, path, {}, result, records)
