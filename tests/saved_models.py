"""Fixtures: runs and exports of untrained models, and small random images."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.crops import CropPolicy
from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation import run_data
from flax_vision.weights import saved_model

CLASSES = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="session")
def noise() -> ArrayDataset:
    """Twenty random images of six classes, 12x12."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20, 12, 12, 1), np.uint8)
    return ArrayDataset(images, np.arange(20, dtype=np.int32) % 6, CLASSES)


@pytest.fixture(scope="session")
def metadata() -> saved_model.ModelMetadata:
    """Description of a model for crops of 8x8 from images of 9x9."""
    return saved_model.ModelMetadata(
        name="lenet5_modern",
        options={},
        class_names=CLASSES,
        image_shape=[12, 12, 1],
        preprocessing=Preprocessing([120.0], [70.0], resize=9, crop=8),
        metrics={},
    )


@pytest.fixture(scope="session")
def variables(metadata):
    """Random variables of the model."""
    return jax.jit(metadata.create_model().init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))


@pytest.fixture(scope="session")
def run(metadata, variables, tmp_path_factory):
    """Directory of a run with an export of random parameters."""
    directory = tmp_path_factory.mktemp("run")
    saved_model.save(directory / "export", metadata, variables)
    data = {"name": "noise", "tfds_dir": "somewhere", "val_fraction": 0.25}
    configuration = {"format": 2, "data": data, "augmentation": {"flip": True}}
    (directory / "config.json").write_text(json.dumps(configuration))
    return directory


@pytest.fixture
def load_calls(noise, monkeypatch) -> list[tuple[str, str, float]]:
    """Replaces every dataset with the random images, and records the requests."""
    calls = []

    def read_split(source, split, on_progress):
        on_progress(f"{source.name} {split}", 20, 20)
        calls.append((source.name, source.tfds_dir, source.val_fraction))
        few, empty = noise.take(np.arange(5)), noise.take(np.arange(0))
        validation = few if source.val_fraction else empty
        return {"train": few, "validation": validation, "test": noise}[split]

    monkeypatch.setattr(run_data, "read_split", read_split)
    return calls


@pytest.fixture
def replace_dataset(load_calls, noise, monkeypatch):
    """Function that replaces every dataset with changed random images."""

    def replace(**changes):
        other = dataclasses.replace(noise, **changes)
        monkeypatch.setattr(run_data, "read_split", lambda *arguments: other)

    return replace


@pytest.fixture(scope="session")
def export(tmp_path_factory):
    """Export of an untrained model with different outputs for different images."""
    metadata = saved_model.ModelMetadata(
        name="lenet5_modern",
        options={},
        class_names=["cat", "dog", "owl"],
        image_shape=[28, 28, 1],
        preprocessing=Preprocessing([120.0], [10.0]),
        metrics={},
        crop=CropPolicy(28, 32, (32, 32), channels=1),
    )
    path = tmp_path_factory.mktemp("net") / "export"
    init = jax.jit(metadata.create_model().init)
    saved_model.save(path, metadata, init(jax.random.key(1), jnp.zeros((1, 28, 28, 1))))
    return path
