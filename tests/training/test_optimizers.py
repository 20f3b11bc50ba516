import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flax_vision.training.config_schema import default_config
from flax_vision.training.optimizers import make_optimizer, running_average

RATES = (0.5, 0.5, 0.05, 0.05)
GRADIENTS = (1.0, -3.0, 0.5, 2.0)


def descend(rates=RATES, gradients=GRADIENTS, params=None, **settings):
    """Returns the parameters after each step; each gradient is the same for all of them."""
    config = default_config().optimizer
    config.update(settings)
    optimizer = make_optimizer(config)
    params = {"kernel": jnp.float32(2.0), "bias": jnp.float32(1.0)} if params is None else params
    state = optimizer.init(params)
    found = []
    for rate, gradient in zip(rates, gradients, strict=True):
        gradient = jax.tree.map(lambda x, g=gradient: jnp.full_like(x, g), params)
        updates, state = optimizer.update(gradient, state, params, learning_rate=jnp.float32(rate))
        params = optax.apply_updates(params, updates)
        found.append(jax.tree.map(float, params))
    return found


def test_usual_form_adds_the_decay_before_the_momentum():
    weight, velocity = 2.0, 0.0
    found = descend(momentum=0.9, weight_decay=0.1)
    for rate, gradient, params in zip(RATES, GRADIENTS, found, strict=True):
        velocity = 0.9 * velocity + gradient + 0.1 * weight
        weight -= rate * velocity
        assert params["kernel"] == pytest.approx(weight, rel=1e-6)


def test_alexnets_velocity_contains_the_rate():
    """Section 5: v <- 0.9 v - 0.0005 eps w - eps g; w <- w + v."""
    weight, velocity = 2.0, 0.0
    found = descend(momentum=0.9, weight_decay=0.0005, momentum_form="alexnet")
    for rate, gradient, params in zip(RATES, GRADIENTS, found, strict=True):
        velocity = 0.9 * velocity - 0.0005 * rate * weight - rate * gradient
        weight += velocity
        assert params["kernel"] == pytest.approx(weight, rel=1e-6)


def test_the_two_forms_differ_only_after_a_drop():
    forms = [descend(momentum_form=form, weight_decay=0.1) for form in ("standard", "alexnet")]
    kernels = np.array([[params["kernel"] for params in form] for form in forms])
    np.testing.assert_allclose(kernels[0, :2], kernels[1, :2], rtol=1e-6)
    assert (np.abs(kernels[0, 2:] - kernels[1, 2:]) > 0.1).all()


def test_biases_without_decay():
    found = descend(weight_decay=0.1, decay_biases=False)
    plain = descend(weight_decay=0.0)
    decayed = descend(weight_decay=0.1)
    for some, none, all_ in zip(found, plain, decayed, strict=True):
        assert some["bias"] == none["bias"] != all_["bias"]
        assert some["kernel"] == all_["kernel"] != none["kernel"]


def test_biases_at_twice_the_rate():
    found, plain = descend(bias_lr_mult=2.0), descend()
    for double, once in zip(found, plain, strict=True):
        assert double["bias"] - 1 == pytest.approx(2 * (once["bias"] - 1), rel=1e-5)
        assert double["kernel"] == once["kernel"]


def test_accumulated_gradients_make_one_step():
    found = descend((0.5,) * 4, GRADIENTS, grad_accum_steps=2, momentum=0.0)
    means = descend((0.5,) * 2, (-1.0, 1.25), momentum=0.0)
    assert found[0]["kernel"] == found[1]["kernel"] + 0.5 * -1.0 == 2.0
    assert [found[1], found[3]] == means
    assert found[2] == found[1]


def test_running_average_is_the_mean_at_first():
    average = {"w": jnp.float32(100.0)}
    values = [1.0, 2.0, 6.0, 3.0]
    found = []
    for step, value in enumerate(values, 1):
        params = {"w": jnp.float32(value)}
        average = running_average(average, params, jnp.int32(step), 2 / 3)
        found.append(float(average["w"]))
    assert found == pytest.approx([1.0, 1.5, 3.0, 3.0], rel=1e-6)
