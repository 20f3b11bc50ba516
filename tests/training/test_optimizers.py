import jax.numpy as jnp
import optax
import pytest
from ml_collections import ConfigDict

from flax_vision.training.optimizers import make_optimizer, make_schedule


def test_cosine_falls_from_the_rate_to_nothing():
    schedule = make_schedule(ConfigDict({"name": "cosine", "learning_rate": 0.2}), 100)
    rates = [float(schedule(step)) for step in (0, 25, 50, 100)]
    assert rates == pytest.approx([0.2, 0.1 * (1 + 0.5**0.5), 0.1, 0.0], abs=1e-7)


def test_constant_stays():
    schedule = make_schedule(ConfigDict({"name": "constant", "learning_rate": 0.2}), 100)
    assert float(schedule(99)) == 0.2


def test_sgd_adds_the_decay_before_the_momentum():
    config = ConfigDict({"momentum": 0.9, "weight_decay": 0.1})
    optimizer = make_optimizer(config, optax.constant_schedule(0.5))
    weight, velocity = 2.0, 0.0
    params = jnp.float32(weight)
    state = optimizer.init(params)
    for gradient in (1.0, -3.0, 0.5):
        updates, state = optimizer.update(jnp.float32(gradient), state, params)
        params = optax.apply_updates(params, updates)
        velocity = 0.9 * velocity + gradient + 0.1 * weight
        weight -= 0.5 * velocity
        assert float(params) == pytest.approx(weight, rel=1e-6)
