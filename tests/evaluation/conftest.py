"""A run on small random images, without its training."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.image_set import ImageSet
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation import subject
from flax_vision.weights import exported

CLASSES = ["a", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="session")
def noise() -> ImageSet:
    """Twenty random images of six classes, 12x12."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20, 12, 12, 1), np.uint8)
    return ImageSet(images, np.arange(20, dtype=np.int32) % 6, CLASSES)


@pytest.fixture(scope="session")
def card() -> exported.ModelCard:
    """Of a network that was trained on 8x8 of 9x9."""
    return exported.ModelCard(
        name="lenet5_modern",
        options={},
        class_names=CLASSES,
        image_shape=[12, 12, 1],
        preprocessing=Preprocessing([120.0], [70.0], resize=9, crop=8),
        metrics={},
    )


@pytest.fixture(scope="session")
def variables(card):
    """Of the network, random."""
    return jax.jit(card.create_model().init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))


@pytest.fixture(scope="session")
def run(card, variables, tmp_path_factory):
    """The directory of a run that has an export of random parameters."""
    directory = tmp_path_factory.mktemp("run")
    exported.save(directory / "export", card, variables)
    data = {"name": "noise", "directory": "somewhere", "validation": 0.25}
    configuration = {"data": data, "augmentation": {"flip": True}}
    (directory / "config.json").write_text(json.dumps(configuration))
    return directory


@pytest.fixture
def asked(noise, monkeypatch) -> list[tuple[str, str, float]]:
    """Puts the noise in the place of every data set; what was asked for is listed."""
    calls = []

    def load_part(source, part, report):
        report(f"{source.name} {part}", 20, 20)
        calls.append((source.name, source.directory, source.validation))
        few = noise.take(np.arange(5))
        nothing = noise.take(np.arange(0))
        return {"train": few, "validation": few if source.validation else nothing, "test": noise}[
            part
        ]

    monkeypatch.setattr(subject, "load_part", load_part)
    return calls


@pytest.fixture
def loaded(asked, noise, monkeypatch):
    """Returns what has other images, or class names, be loaded."""

    def loaded(**changes):
        other = dataclasses.replace(noise, **changes)
        monkeypatch.setattr(subject, "load_part", lambda *arguments: other)

    return loaded
