"""Exported functions, and what their descriptions tell programs without this library."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lenet_metadata import METADATA

from flax_vision.data.crops import CropPolicy
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.weights.exported_function import describe, make_exported_function

MEAN_IMAGE = np.random.default_rng(0).uniform(0, 255, (20, 24, 3)).round(3).tolist()


class Sums:
    """A model whose logits are weighted sums of the pixels."""

    def apply(self, weights, images):
        return jnp.einsum("nhwc,hwc->nc", images, weights)


@pytest.mark.parametrize(
    ("preprocessing", "channels"),
    [
        (Preprocessing([120.0], [70.0]), 1),
        (Preprocessing([125.0, 123.0, 114.0], [63.0, 62.0, 67.0]), 3),
        (Preprocessing([125.0, 123.0, 114.0], [63.0], channels=3), 1),
        (Preprocessing(MEAN_IMAGE, [1.0], crop=16), 3),
        (Preprocessing([120.0], [70.0], resize=15, crop=13), 3),
    ],
)
def test_preprocessing_inside_equals_preprocessing_before(preprocessing, channels):
    shape = (20, 24, channels)
    metadata = dataclasses.replace(METADATA, image_shape=shape, preprocessing=preprocessing)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (3, *shape), np.uint8)
    weights = random.standard_normal(metadata.input_shape, np.float32)
    inside = make_exported_function(metadata, Sums(), weights, True)
    before = make_exported_function(metadata, Sums(), weights, False)
    assert (inside.shape, inside.dtype) == (shape, "uint8")
    assert (before.shape, before.dtype) == (metadata.input_shape, "float32")
    expected = np.asarray(before.function(preprocessing(pixels)))
    found = np.asarray(jax.jit(inside.function)(pixels))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_description_of_a_function_with_preprocessing():
    crop = CropPolicy(28, 32, (32, 32), channels=1)
    metadata = dataclasses.replace(METADATA, image_shape=[28, 28, 1], crop=crop)
    assert describe(metadata, True) == {
        "model_name": "lenet5_modern",
        "class_names": ["cat", "dog", "owl"],
        "input_size": [28, 28, 1],
        "input_dtype": "uint8",
        "resize": 32,
        "mean": [120.0],
        "std": [70.0],
    }


def test_description_of_a_function_without_preprocessing():
    found = describe(dataclasses.replace(METADATA, image_shape=[20, 20, 1]), False)
    assert (found["input_size"], found["input_dtype"]) == ([28, 28, 1], "float32")
    assert found["resize"] == 30  # the preprocessing resizes to 30 and crops 28


def test_mean_image_has_the_size_of_the_input():
    given = Preprocessing(MEAN_IMAGE, [2.0], crop=16)
    metadata = dataclasses.replace(METADATA, image_shape=[20, 24, 3], preprocessing=given)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 20, 24, 3), np.uint8)
    assert np.shape(describe(metadata, True)["mean"]) == (20, 24, 3)
    about = describe(metadata, False)
    mean, std = np.asarray(about["mean"]), np.asarray(about["std"])
    crop = (pixels[:, 2:18, 4:20] - mean) / std
    np.testing.assert_allclose(crop, np.asarray(given(pixels)), rtol=1e-5)
