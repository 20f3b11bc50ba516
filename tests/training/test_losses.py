import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flax_vision.training.losses import make_loss, map_loss, mixed_loss

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


def test_loss_of_mixed_images_is_the_cross_entropy_with_soft_labels():
    random = np.random.default_rng(0)
    logits = jnp.asarray(random.normal(size=(5, 3)), jnp.float32)
    labels = np.array([0, 2, 1, 1, 0], np.int32)
    shares = jnp.asarray(random.uniform(0.5, 1, 5), jnp.float32)
    losses = mixed_loss(make_loss("cross_entropy", 0.0), shares)(logits, labels)
    one_hot, share = np.eye(3, dtype=np.float32)[labels], np.asarray(shares)[:, None]
    soft = share * one_hot + (1 - share) * one_hot[::-1]
    np.testing.assert_allclose(losses, optax.softmax_cross_entropy(logits, soft), rtol=1e-5)


def test_whole_images_have_the_loss_of_their_own_label():
    loss = make_loss("lenet5_map", 3.0)
    whole = mixed_loss(loss, jnp.ones(2))(jnp.asarray(-DISTANCES), LABELS)
    np.testing.assert_array_equal(whole, loss(jnp.asarray(-DISTANCES), LABELS))
