import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.training.losses import make_loss, map_loss

DISTANCES = np.array([[1.0, 2.0, 5.0], [30.0, 0.5, 4.0]], np.float32)
LABELS = np.array([0, 2], np.int32)


@pytest.mark.parametrize("map_j", [0.1, 3.0, 50.0])
def test_map_loss_is_equation_9(map_j):
    losses = make_loss("lenet5_map", map_j)(jnp.asarray(-DISTANCES), LABELS)
    rivals = np.exp(-map_j) + np.exp(-DISTANCES).sum(axis=1)
    expected = DISTANCES[[0, 1], LABELS] + np.log(rivals)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_map_loss_with_large_j_is_the_cross_entropy():
    logits = jnp.asarray(-DISTANCES)
    np.testing.assert_allclose(
        map_loss(logits, LABELS, 1e4), make_loss("cross_entropy", 0.0)(logits, LABELS), rtol=1e-6
    )


def test_far_from_every_class_only_the_right_one_pulls():
    gradient = jax.grad(lambda z: map_loss(z, np.array([0]), 1.0).sum())(jnp.full((1, 3), -90.0))
    np.testing.assert_allclose(gradient, [[-1, 0, 0]], atol=1e-6)
