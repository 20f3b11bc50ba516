import errno

import pytest

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.training import data_pipeline
from flax_vision.training.data_pipeline import load_data, make_augmentation


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"data.name": "folder", "data.image_dir": "/photos"}, "/photos"),
        ({"data.name": "mnist", "data.tfds_dir": "/sets"}, "/sets"),
        ({}, "mnist_5k"),
    ],
)
def test_error_names_unreadable_data(settings, name, config, monkeypatch):
    def fail(source, on_progress):
        raise PermissionError(errno.EACCES, "Permission denied", "/photos/train")

    monkeypatch.setattr(data_pipeline, "read_splits", fail)
    config.update_from_flattened_dict(settings)
    message = f"the data in '{name}' cannot be read .Permission denied.; fix this"
    with pytest.raises(UserError, match=message):
        load_data(config, lambda *progress: None)


def test_gray_images_have_no_hue(config, digits):
    config.augmentation.hue = 0.1
    with pytest.raises(UserError, match="augmentation.hue is 0.1, and the images are gray"):
        make_augmentation(config.augmentation, digits, Preprocessing((0.0,), (1.0,)), print)
