"""Optimizers and class weights compared with PyTorch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flax_vision.training.config_schema import default_config
from flax_vision.training.losses import make_loss, mean_loss
from flax_vision.training.optimizers import make_optimizer

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")

WEIGHTS = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
GRADIENTS = np.random.default_rng(1).standard_normal((3, 3, 4)).astype(np.float32)
RATE, DECAY = 0.01, 0.1


def torch_weights(make):
    """Returns the weights after three steps with the gradients."""
    weights = torch.nn.Parameter(torch.tensor(WEIGHTS))
    optimizer = make([weights], lr=RATE, weight_decay=DECAY)
    for gradient in GRADIENTS:
        weights.grad = torch.tensor(gradient)
        optimizer.step()
    return weights.detach().numpy()


def our_weights(**settings):
    config = default_config().optimizer
    config.update({"weight_decay": DECAY, **settings})
    optimizer = make_optimizer(config)
    params = {"kernel": jnp.asarray(WEIGHTS)}
    state = optimizer.init(params)
    for gradient in GRADIENTS:
        updates, state = optimizer.update(
            {"kernel": jnp.asarray(gradient)}, state, params, learning_rate=jnp.float32(RATE)
        )
        params = optax.apply_updates(params, updates)
    return params["kernel"]


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        ({"name": "adam"}, torch.optim.Adam),
        ({"name": "adamw"}, torch.optim.AdamW),
        ({"name": "rmsprop"}, partial(torch.optim.RMSprop, alpha=0.9)),
        ({"name": "rmsprop", "b2": 0.99}, torch.optim.RMSprop),
        ({"nesterov": True}, partial(torch.optim.SGD, momentum=0.9, nesterov=True)),
    ],
    ids=["adam", "adamw", "rmsprop", "rmsprop-alpha", "nesterov"],
)
def test_optimizer_matches_pytorch(settings, make):
    # Optax computes 1 - b2^t in single precision.
    np.testing.assert_allclose(our_weights(**settings), torch_weights(make), rtol=1e-6, atol=1e-6)


def test_gradient_clipping_matches_pytorch():
    weights = torch.nn.Parameter(torch.tensor(WEIGHTS))
    optimizer = torch.optim.SGD([weights], lr=RATE, momentum=0.9, weight_decay=DECAY)
    for gradient in GRADIENTS:
        weights.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_([weights], 0.5)
        optimizer.step()
    # PyTorch divides by the norm plus 1e-6.
    np.testing.assert_allclose(our_weights(clip_norm=0.5), weights.detach().numpy(), rtol=1e-5)


LOGITS = np.random.default_rng(2).standard_normal((6, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 2, 1, 0], np.int32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_matches_pytorch(smoothing):
    loss = make_loss("cross_entropy", 0.0, label_smoothing=smoothing)
    expected = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
    found = loss(jnp.asarray(LOGITS), LABELS).mean()
    reference = expected(torch.tensor(LOGITS), torch.tensor(LABELS).long())
    np.testing.assert_allclose(found, reference.numpy(), rtol=1e-6)


def test_class_weights_match_pytorch():
    weights = np.array([1.0, 2.0, 0.5], np.float32)
    logits = torch.tensor(LOGITS, requires_grad=True)
    expected = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))(
        logits, torch.tensor(LABELS).long()
    )
    expected.backward()

    def weighted(logits):
        losses = make_loss("cross_entropy", 0.0)(logits, LABELS)
        return mean_loss(losses, np.ones(6, bool), jnp.asarray(weights[LABELS]))

    loss, gradient = jax.value_and_grad(weighted)(jnp.asarray(LOGITS))
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(gradient, logits.grad.numpy(), rtol=1e-5, atol=1e-7)
