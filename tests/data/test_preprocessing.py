import chex
import jax.numpy as jnp
import numpy as np

from flax_vision.data.preprocessing import Preprocessing


def test_lenets_grey_levels():
    pixels = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
    scaled = Preprocessing((20.0,), (200.0,))(pixels)
    chex.assert_type(scaled, jnp.float32)
    np.testing.assert_allclose(scaled.ravel(), [-0.1, 1.175], rtol=1e-6)


def test_each_channel_has_its_own_mean_and_deviation():
    pixels = np.full((2, 1, 1, 3), 100, np.uint8)
    scaled = Preprocessing((100.0, 90.0, 0.0), (1.0, 5.0, 50.0))(pixels)
    np.testing.assert_allclose(scaled, np.broadcast_to([0, 2, 2], (2, 1, 1, 3)))
