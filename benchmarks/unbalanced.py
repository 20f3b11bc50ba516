"""Compares ways to train on an unbalanced folder, with a class ratio of ten to one.

    python benchmarks/unbalanced.py

It writes the embedded digits as a folder of JPEG files. Five classes have 400 training images each,
the other five 40. It trains the modern LeNet-5 with equal class weights, with balanced weights and
with balanced sampling, and tests each run on 100 images a class. The table has means over seeds,
and the lowest and highest value. The same command resumes stopped runs.
"""

from flax_vision.runtime import environment

environment.configure_process()  # before JAX is imported

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from flax_vision.cli.console import print_table
from flax_vision.cli.training_display import TrainingDisplay
from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.evaluation.metrics import confusion_matrix
from flax_vision.training.config_loader import load_config
from flax_vision.training.fit import fit

CONFIG = "configs/lenet5.py:folder"
RARE = (1, 3, 5, 7, 9)
SHARE = 0.1
"""Share of a rare class's training images that are written to the folder."""

COMMON = [
    "model.name=lenet5_modern",
    # Smaller batches have only a few rare images, so the weighted loss is noisy.
    "batch_size=128",
    # A validation set would have few rare images. The last epoch is tested.
    "data.val_fraction=0.0",
    "write_report=False",
]
"""Overrides of all runs."""

METHODS = {
    "none": [],
    "class_weights=balanced": ["loss.class_weights=balanced"],
    "sampler=balanced": ["data.sampler=balanced"],
}
"""Overrides of each way to train."""


def write_folder(folder: Path) -> None:
    """Writes the digits as train/ with rare classes, and test/ with 100 images a class."""
    train, test = load_mnist_5k()
    for split, dataset, rare_share in (("train", train, SHARE), ("test", test, 1.0)):
        for label in range(10):
            members = np.flatnonzero(dataset.labels == label)
            count = round(len(members) * (rare_share if label in RARE else 1))
            write_class(folder / split / str(label), dataset, members[:count])


def write_class(folder: Path, dataset: ArrayDataset, indices: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in indices:
        Image.fromarray(dataset.images[index, ..., 0]).save(folder / f"{index}.jpg", quality=95)


def measure(workdir: Path) -> dict[str, float]:
    """Returns the accuracies of a finished run, in percent.

    The accuracy has the class proportions of the training set.
    """
    result = evaluate(workdir)
    matrix = confusion_matrix(result.labels, result.predicted, len(result.class_names))
    recalls = 100 * np.diag(matrix) / matrix.sum(axis=1)
    is_rare = np.isin(np.arange(10), RARE)
    return {
        "accuracy, ten to one": np.average(recalls, weights=np.where(is_rare, SHARE, 1)),
        "balanced accuracy": recalls.mean(),
        "recall of rare classes": recalls[is_rare].mean(),
        "recall of the others": recalls[~is_rare].mean(),
    }


def train(overrides: list[str], folder: Path, workdir: Path) -> dict[str, float]:
    """Trains and tests a model."""
    data = f"data.image_dir={folder}"
    settings = [f"--config.{override}" for override in (*COMMON, data, *overrides)]
    fit(load_config(CONFIG, settings), workdir, TrainingDisplay())
    return measure(workdir)


def summary(runs: list[dict[str, float]]) -> dict[str, str]:
    """Returns the mean, the lowest and the highest value of each metric."""
    columns = {key: [measures[key] for measures in runs] for key in runs[0]}
    return {key: f"{np.mean(x):.1f} % ({min(x):.1f} to {max(x):.1f})" for key, x in columns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("runs/unbalanced"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    folder = options.output / "digits"
    write_folder(folder)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    for seed in range(options.seeds):
        for name, overrides in METHODS.items():
            settings = [*overrides, f"seed={seed}", f"epochs={options.epochs}"]
            found[name].append(train(settings, folder, options.output / f"{name}-{seed}"))
    print_table([{"method": name} | summary(runs) for name, runs in found.items()], "markdown")


if __name__ == "__main__":
    main()
