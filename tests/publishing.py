"""Fixtures that replace the published datasets by small ones; they import TFDS when used."""

import dataclasses

import pytest


@pytest.fixture
def publish_imagenet(monkeypatch, tmp_path_factory):
    """A function that publishes a small ImageNet or Imagenette, and returns its files by name."""
    import published_imagenet
    from published_archives import register
    from tensorflow_datasets.datasets.imagenet2012 import imagenet_common

    from flax_vision.data.prepare.sets import SETS

    def publish(name, **options):
        base, _, config = name.partition("/")
        if base == "imagenet2012":
            files, counts = published_imagenet.imagenet_archives(**options), "COUNTS"
            folder = tmp_path_factory.mktemp("labels")
            names, labels = folder / "labels.txt", folder / "validation_labels.txt"
            names.write_text("\n".join(published_imagenet.CLASSES) + "\n")
            labels.write_text("\n".join(published_imagenet.VALIDATION_LABELS) + "\n")
            monkeypatch.setattr(imagenet_common, "label_names_file", lambda: str(names))
            monkeypatch.setattr(imagenet_common, "_VALIDATION_LABELS_FNAME", str(labels))
        else:
            size = "" if config.startswith("full") or not config else f"-{config[:3]}"
            base_folder = "imagenette2" if config.endswith("v2") or not config else "imagenette"
            files = published_imagenet.imagenette_archives(f"{base_folder}{size}")
            counts = "IMAGENETTE_COUNTS"
        register(monkeypatch, name, {x: y for x, y in files.items() if "test" not in x})
        counts = getattr(published_imagenet, counts)
        monkeypatch.setitem(SETS, base, dataclasses.replace(SETS[base], counts=lambda _: counts))
        return files

    return publish


@pytest.fixture
def imagenet_folder(publish_imagenet, tmp_path):
    """A function that publishes a small ImageNet, and returns the folder with its archives."""

    def write(replaced=None, **options):
        files = publish_imagenet("imagenet2012", **options) | (replaced or {})
        (tmp_path / "source").mkdir()
        for name, content in files.items():
            (tmp_path / "source" / name).write_bytes(content)
        return tmp_path / "source"

    return write


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
