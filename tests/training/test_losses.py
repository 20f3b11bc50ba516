import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flax_vision.data.dataset import ArrayDataset
from flax_vision.errors import UserError
from flax_vision.training.losses import (
    focal_loss,
    make_class_weights,
    make_eval_loss,
    make_loss,
    map_loss,
    mean_loss,
    mixed_loss,
)

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


LOGITS = jnp.array([[1.0, 2.0, 5.0], [3.0, 0.5, 4.0]])


def log_probabilities():
    exact = np.asarray(LOGITS, np.float64)
    return exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))


def test_smoothed_labels():
    """A share of 0.3 gives the label 0.8 of three classes, and the others 0.1."""
    targets = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    losses = make_loss("cross_entropy", 0.0, label_smoothing=0.3)(LOGITS, LABELS)
    np.testing.assert_allclose(losses, -(targets * log_probabilities()).sum(axis=1), rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_is_equation_4(gamma):
    log_p = log_probabilities()[[0, 1], LABELS]
    losses = make_loss("focal", 0.0, focal_gamma=gamma)(LOGITS, LABELS)
    np.testing.assert_allclose(losses, -((1 - np.exp(log_p)) ** gamma) * log_p, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0])
def test_focal_loss_of_a_certain_model_has_a_finite_gradient(gamma):
    gradient = jax.grad(lambda z: focal_loss(z, np.array([0]), gamma).sum())
    assert jnp.isfinite(gradient(jnp.array([[200.0, 0.0, -200.0]]))).all()
    assert jnp.isfinite(gradient(jnp.array([[-200.0, 0.0, 200.0]]))).all()


def test_evaluation_reports_the_plain_loss():
    plain = make_loss("cross_entropy", 0.0)(LOGITS, LABELS)
    np.testing.assert_array_equal(make_eval_loss("focal", 0.0)(LOGITS, LABELS), plain)
    expected = make_loss("lenet5_map", 3.0)(LOGITS, LABELS)
    np.testing.assert_array_equal(make_eval_loss("lenet5_map", 3.0)(LOGITS, LABELS), expected)


LOSSES = jnp.array([1.0, 2.0, 6.0, jnp.nan])
MASK = np.array([True, True, True, False])


def test_mean_loss_counts_readable_images():
    assert float(mean_loss(LOSSES, MASK)) == 3.0
    assert float(mean_loss(LOSSES, np.zeros(4, bool))) == 0.0


def test_weighted_mean_loss():
    weights = jnp.array([2.0, 1.0, 1.0, 5.0])
    assert float(mean_loss(LOSSES, MASK, weights)) == (2 * 1 + 2 + 6) / 4
    assert float(mean_loss(LOSSES, MASK, jnp.zeros(4))) == 0.0
    assert jax.grad(mean_loss)(LOSSES, MASK, weights).tolist() == [0.5, 0.25, 0.25, 0.0]


def unbalanced():
    labels = np.repeat(np.arange(3, dtype=np.int32), (6, 3, 1))
    return ArrayDataset(np.zeros((10, 1, 1, 1), np.uint8), labels, ["cat", "dog", "owl"])


def test_class_weights():
    assert make_class_weights("none", unbalanced()) == ()
    assert make_class_weights("1,2,0.5", unbalanced()) == (1.0, 2.0, 0.5)
    balanced = make_class_weights("balanced", unbalanced())
    assert balanced == pytest.approx((10 / 18, 10 / 9, 10 / 3))


def test_balanced_weights_of_a_class_without_images():
    assert make_class_weights("balanced", unbalanced().take(np.arange(8)))[2] == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1,2", "has 2 numbers for 3 classes"),
        ("1,-2,1", "has a negative weight for 'dog'"),
        ("0,0,0", "has only zeros"),
    ],
)
def test_invalid_class_weights_name_the_classes(text, problem):
    with pytest.raises(UserError, match=f"is '{text}', which {problem}; .* order: cat, dog, owl"):
        make_class_weights(text, unbalanced())


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
