"""A network for small photographs."""

import jax
import jax.numpy as jnp
import pytest

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.view import View
from flax_vision.weights import exported


@pytest.fixture(scope="session")
def export(tmp_path_factory):
    """Of a network that has not been trained, but tells photographs apart."""
    card = exported.ModelCard(
        name="lenet5_modern",
        options={},
        class_names=["cat", "dog", "owl"],
        image_shape=[28, 28, 1],
        preprocessing=Preprocessing([120.0], [10.0]),
        metrics={},
        view=View(28, 32, (32, 32), channels=1),
    )
    path = tmp_path_factory.mktemp("net") / "export"
    init = jax.jit(card.create_model().init)
    exported.save(path, card, init(jax.random.key(1), jnp.zeros((1, 28, 28, 1))))
    return path
