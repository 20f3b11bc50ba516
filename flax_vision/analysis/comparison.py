"""Compares runs: their results, their configurations and their data."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from flax_vision.analysis.report.trained_run import read_trained_config
from flax_vision.data.dataset import ProgressFn
from flax_vision.data.fingerprint import Fingerprint
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.training.config_schema import default_config, flatten
from flax_vision.weights import run_files, saved_model
from flax_vision.weights.best_epoch import epoch_rank
from flax_vision.weights.loading import load_metadata
from flax_vision.weights.run_files import METADATA, RESTORE, Records
from flax_vision.weights.saved_model import ModelMetadata

_OWN_COLUMNS = ("model.name", "data.name")
"""Keys that are columns of every comparison."""


@dataclass(frozen=True)
class ComparedRun:
    """A run of a comparison.

    Attributes:
      path: The run directory.
      config: Configuration by dotted key, with defaults for keys that are newer than the run.
      records: Records of the epochs, and the result.
      result: The result; None for an unfinished run.
      class_names: Names of the classes.
      parameters: Number of trainable parameters.
      dataset: Fingerprint of each split; empty if unknown.
    """

    path: Path
    config: Mapping[str, Any]
    records: Records
    result: Mapping[str, Any] | None
    class_names: Sequence[str]
    parameters: int
    dataset: Mapping[str, Fingerprint]

    @cached_property
    def epochs(self) -> Records:
        """Records of the finished epochs."""
        return [record for record in self.records if "epoch" in record]

    @property
    def data(self) -> str:
        """Name of the dataset, or path of the image folder."""
        name = self.config["data.name"]
        return str(self.config["data.image_dir"] if name == "folder" else name)

    @property
    def recorded_cross_entropy(self) -> float | None:
        """Test loss of a run whose test loss is the cross-entropy, else None."""
        is_plain = self.config["loss.name"] != "lenet5_map"  # see `losses.make_eval_loss`
        return self.result["test/loss"] if self.result and is_plain else None

    def summary(self) -> dict[str, Any]:
        """Returns the results by name; None for missing results of an unfinished run."""
        best = dict(self.result or max(self.epochs, key=epoch_rank, default={}))
        speeds = [x["images_per_second"] for x in self.epochs if "images_per_second" in x]
        return {
            "run": str(self.path),
            "model": self.config["model.name"],
            "data": self.data,
            "finished": self.result is not None,
            "epochs": len(self.epochs),
            "planned_epochs": self.config["epochs"],
            "best_epoch": best.get("best_epoch", best.get("epoch")),
            "validation_top1": best.get("validation/top1"),
            "test_top1": best.get("test/top1"),
            "test_cross_entropy": self.recorded_cross_entropy,
            "parameters": self.parameters,
            "train_seconds": sum(record["epoch_seconds"] for record in self.epochs),
            "images_per_second": statistics.median(speeds) if speeds else None,
        }


def read_run(path: Path) -> ComparedRun:
    """Reads a run directory.

    Raises:
      UserError: There is no run, or a file of it cannot be read.
    """
    given, defaults = flatten(read_trained_config(path)), flatten(default_config())
    # Tuples become lists, as in the file.
    config = json.loads(json.dumps(defaults | given))
    file = path / METADATA
    metadata = saved_model.read_metadata(file, RESTORE) if file.exists() else load_metadata(path)
    return ComparedRun(
        path=path,
        config=config,
        records=run_files.read_records(path),
        result=run_files.read_result(path, RESTORE),
        class_names=metadata.class_names,
        parameters=_parameters(metadata),
        dataset=run_files.read_dataset(path, RESTORE) or {},
    )


def _parameters(metadata: ModelMetadata) -> int:
    images = jax.ShapeDtypeStruct((1, *metadata.input_shape), "float32")
    variables = jax.eval_shape(metadata.create_model().init, jax.random.key(0), images)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def differences(runs: Sequence[ComparedRun]) -> list[str]:
    """Returns the keys in which the configurations differ.

    An option of only some models is included if it differs between these.
    """
    keys = dict.fromkeys(key for run in runs for key in run.config if key not in _OWN_COLUMNS)
    return [
        key
        for key in keys
        if len({json.dumps(run.config[key]) for run in runs if key in run.config}) > 1
    ]


def data_warnings(runs: Sequence[ComparedRun]) -> Iterator[str]:
    """Yields a warning for each run with other classes or images than the first."""
    first, *others = runs
    for run in others:
        if list(run.class_names) != list(first.class_names):
            yield f"{run.path} has other classes than {first.path}; do not compare their accuracy"
        elif splits := _differing_splits(first, run):
            yield (
                f"{run.path} has other {' and '.join(splits)} images than {first.path}; do not "
                "compare their metrics"
            )


def _differing_splits(first: ComparedRun, run: ComparedRun) -> list[str]:
    """Returns the splits whose images differ between two runs."""
    splits = ["validation", "test"]
    if not first.dataset or not run.dataset:
        return splits if run.data != first.data else []
    return [split for split in splits if run.dataset[split] != first.dataset[split]]


def compute_cross_entropy(
    run: ComparedRun, on_progress: ProgressFn
) -> tuple[float | None, list[str]]:
    """Computes the cross-entropy of the run's own test images, for a run with another loss.

    Args:
      run: A finished run.
      on_progress: Function of a text, the number of finished images and the number of all images.

    Returns:
      The mean cross-entropy, and warnings; None with a warning if the images cannot be read.
    """
    try:
        result = evaluate(run.path, on_progress=on_progress)
    except UserError as error:
        return None, [f"{run.path} has no cross-entropy of its test images: {error}"]
    return result.cross_entropy, [f"{run.path}: {text}" for text in result.warnings]
