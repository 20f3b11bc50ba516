"""Fixtures of a run on small random images, without its training."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.weights import saved_model

CLASSES = ["<cat>", "dog & $co", "owl", "ant"]
RESULT = {
    "best_epoch": 2,
    "test/top1": 0.25,
    "test/top5": 1.0,
    "test/images": 12,
    "train_seconds": 3.0,
}


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28, 1), np.uint8)
    return ArrayDataset(pixels, np.arange(12, dtype=np.int32) % 4, CLASSES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    metadata = saved_model.ModelMetadata(
        name="lenet5_modern",
        options={},
        class_names=CLASSES,
        image_shape=[28, 28, 1],
        preprocessing=Preprocessing([120.0], [70.0]),
        metrics=RESULT,
    )
    init = jax.jit(metadata.create_model().init)
    saved_model.save(path / "export", metadata, init(jax.random.key(0), jnp.zeros((1, 28, 28, 1))))
    epochs = [
        {"epoch": i, "train/loss": 1 / i, "train/top1": 1 - 1 / i, "learning_rate": 0.1}
        | {"epoch_seconds": 1.5, "images_per_second": 1e3, "input_wait_fraction": 0.25}
        for i in (1, 2)
    ]
    (path / "metrics.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in [*epochs, RESULT]))
    data = {"name": "noise", "tfds_dir": "", "val_fraction": 0.25}
    config = {
        "format": 2,
        "seed": 7,
        "data": data,
        "batch_size": 4,
        "loss": {"name": "cross_entropy"},
    }
    (path / "config.json").write_text(json.dumps(config))
    parts = {"train": {"a": [6, "f"], "b": [5, "f"]}, "validation": {"a": [5, "f"]}, "test": {}}
    (path / "dataset.json").write_text(json.dumps(parts))
    start = {"time": "2025", "host": "here", "devices": ["cpu:0"], "command": ["train.py", "<x>"]}
    start |= {"python": "3", "platform": "p", "git_revision": None, "libraries": {"jax": "1.2.3"}}
    (path / "launches.json").write_text(json.dumps([start]))
    return path
