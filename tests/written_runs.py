"""Writes the files of runs without training."""

import json
from pathlib import Path
from typing import Any

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.training.config_loader import load_config
from flax_vision.weights import run_files
from flax_vision.weights.saved_model import ModelMetadata

DIGITS = tuple("0123456789")
RESULT = {
    "step": 2,
    "best_epoch": 1,
    "validation/loss": 0.5,
    "validation/top1": 0.75,
    "test/loss": 0.25,
    "test/top1": 0.875,
    "test/images": 8,
    "train_seconds": 75.0,
    "input_wait_fraction": 0.0,
}
EPOCHS = [
    {
        "epoch": epoch,
        "step": epoch,
        "train/top1": 0.5,
        "validation/top1": top1,
        "validation/loss": 0.5,
        "images_per_second": speed,
        "epoch_seconds": 25.0,
    }
    for epoch, top1, speed in [(1, 0.75, 100.0), (2, 0.5, 200.0), (3, 0.25, 1500.0)]
]


def write_run(
    path: Path,
    *settings: str,
    spec: str = "lenet5",
    finished: bool = True,
    epochs: int = 3,
    classes: tuple[str, ...] = DIGITS,
    test_digest: str = "x",
) -> Path:
    """Writes a run of `lenet5_modern`, without checkpoints and export.

    Args:
      path: The run directory.
      *settings: Configuration values such as `seed=1`.
      spec: Config file and recipe.
      finished: Whether the run has a result.
      epochs: Number of finished epochs.
      classes: Names of the classes.
      test_digest: Digest of the test images.
    """
    overrides = [f"--config.{setting}" for setting in ("model.name=lenet5_modern", *settings)]
    config = load_config(spec, overrides)
    path.mkdir(parents=True)
    run_files.write_config(path, config.to_dict())
    records: list[dict[str, Any]] = [*EPOCHS[:epochs], *([RESULT] if finished else [])]
    (path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    if finished:
        (path / "result.json").write_text(json.dumps(RESULT))
    splits = {"train": "x", "validation": "x", "test": test_digest}
    dataset = {split: {classes[0]: [8, digest]} for split, digest in splits.items()}
    (path / "dataset.json").write_text(json.dumps(dataset))
    metadata = ModelMetadata(
        name="lenet5_modern",
        options={},
        class_names=classes,
        image_shape=[28, 28, 1],
        preprocessing=Preprocessing([20.0], [200.0]),
        metrics={},
    )
    (path / "model_metadata.json").write_text(metadata.to_json())
    return path
