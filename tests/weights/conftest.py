"""Fixtures of exported models."""

import jax
import jax.numpy as jnp
import pytest
from lenet_metadata import METADATA

from flax_vision.weights import saved_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    init = jax.jit(METADATA.create_model().init)
    saved_model.save(path / "export", METADATA, init(jax.random.key(0), jnp.zeros((1, 28, 28, 1))))
    return path
