"""Fixtures that replace the published datasets by small ones; they import TFDS when used."""

import dataclasses

import pytest


@pytest.fixture
def publish(monkeypatch):
    """A function that publishes a small set, and returns its files by name."""
    from published_archives import COUNTS, archives, register
    from tensorflow_datasets.image_classification import mnist

    from flax_vision.data.prepare.sets import SETS

    def publish(name):
        base, _, config = name.partition("/")
        files = archives(name)
        register(monkeypatch, name, files)
        monkeypatch.setitem(SETS, base, dataclasses.replace(SETS[base], counts=lambda _: COUNTS))
        for split, count in COUNTS.items():
            monkeypatch.setattr(mnist, f"_{split.upper()}_EXAMPLES", count)
            if config:
                emnist = mnist.EMNIST.builder_configs[config]
                monkeypatch.setattr(emnist, f"{split}_examples", count)
        return files

    return publish


@pytest.fixture
def no_pause(monkeypatch):
    """Makes downloads try again at once."""
    from flax_vision.data.prepare import download

    monkeypatch.setattr(download, "_PAUSE", 0.0)
