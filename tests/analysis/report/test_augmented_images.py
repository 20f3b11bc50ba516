import dataclasses

import pytest

from flax_vision.analysis.report import augmented_images as module
from flax_vision.analysis.report.augmented_images import augmented_images
from flax_vision.analysis.report.trained_run import open_trained_run
from flax_vision.errors import UserError


def silent(what, done, total):
    pass


@pytest.fixture(scope="module")
def trained(run):
    return open_trained_run(run)


def with_config(trained, train=12, **augmentation):
    config = trained.config | {"augmentation": augmentation}
    return dataclasses.replace(trained, config=config, image_counts={"train": train})


@pytest.mark.slow
def test_section_has_a_figure_of_the_first_images(trained, images, monkeypatch):
    monkeypatch.setattr(module, "load_images", lambda *_: (None, images))
    augmented = with_config(trained, flip=True, pca_noise=0.1, pca_scaling="eigenvalues", mixup=0.2)
    section = augmented_images(augmented, silent)
    assert section.title == "Augmented images"
    assert section.figures[0].name == "augmented"
    assert section.figures[0].alternative.startswith("4 training images")


def test_no_section_without_augmentation_or_images(trained, monkeypatch):
    monkeypatch.setattr(module, "load_images", lambda *_: pytest.fail("read"))
    assert augmented_images(trained, silent) is None
    assert augmented_images(with_config(trained, flip=False, mixup=0.0), silent) is None
    assert augmented_images(with_config(trained, train=1_000_000, flip=True), silent) is None

    def fail(*_):
        raise UserError("no such folder")

    monkeypatch.setattr(module, "load_images", fail)
    assert augmented_images(with_config(trained, flip=True), silent) is None
