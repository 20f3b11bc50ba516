import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import flax_vision as fv
from flax_vision.analysis.report.figures.feature_maps import draw, feature_maps, stages

IMAGES = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def lenet():
    model = fv.create_model("lenet5_modern")
    return model, jax.jit(model.init)(jax.random.key(0), jnp.asarray(IMAGES))


def test_stages_come_in_the_order_of_the_model(lenet):
    outputs = stages(*lenet, IMAGES)
    assert list(outputs) == ["c1", "s2", "c3", "s4", "c5", "f6"]
    assert outputs["c1"].shape == (2, 28, 28, 6)
    assert outputs["f6"].shape == (2, 84)


def test_every_stage_of_every_image_is_shown(lenet):
    (axes,) = feature_maps(*lenet, IMAGES).axes
    titles = [text.get_text() for text in axes.texts]
    assert titles[:7] == [
        "image, 28x28",
        "c1, 28x28, 6 maps",
        "s2, 14x14, 6 maps",
        "c3, 10x10, 8 of 16 maps",
        "s4, 5x5, 8 of 16 maps",
        "c5, 120 units",
        "f6, 84 units",
    ]
    assert titles[7:] == titles[:7]
    assert len(axes.images) == 2 * (1 + 6 + 6 + 8 + 8 + 1 + 1)


def test_maps_that_find_most_come_first():
    maps = np.zeros((1, 2, 2, 3), np.float32)
    maps[0, 0, 0] = 1, 3, 2
    maps[0, 1, 1] = 0, -3, 0
    (axes,) = draw(IMAGES[:1], {"stage": maps}, maps=2).axes
    _, first, second = axes.images
    np.testing.assert_allclose(first.get_array(), [[1, 0.5], [0.5, 0]])
    np.testing.assert_allclose(second.get_array(), [[1, 0], [0, 0]])


def test_units_that_do_not_fill_a_row():
    (axes,) = draw(IMAGES[:1], {"fc": np.arange(130.0)[None]}).axes
    strip = axes.images[1].get_array()
    assert strip.shape == (2, 128)
    assert strip.count() == 130


class Block(nn.Module):
    @nn.compact
    def __call__(self, images):
        return nn.relu(nn.Conv(4, (3, 3))(images))


class Plain(nn.Module):
    """A custom model without `intermediates`."""

    @nn.compact
    def __call__(self, images):
        x = nn.relu(nn.Conv(5, (3, 3), name="first")(images))
        x = Block(name="second")(x)
        return nn.Dense(3, name="last")(x.reshape(len(x), 1, -1).mean(1))


@pytest.mark.slow
def test_stages_of_a_model_that_sows_nothing_are_its_layers():
    model = Plain()
    variables = jax.jit(model.init)(jax.random.key(0), jnp.asarray(IMAGES))
    outputs = stages(model, variables, IMAGES)
    shapes = {name: x.shape for name, x in outputs.items()}
    assert shapes == {"first": (2, 28, 28, 5), "second": (2, 28, 28, 4), "last": (2, 3)}
