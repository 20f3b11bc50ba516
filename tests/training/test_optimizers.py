import chex
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


DECAY = 0.1
RATE = 0.05
OPTAX = {
    "adam": lambda mask: optax.chain(optax.add_decayed_weights(DECAY, mask), optax.adam(RATE)),
    "adamw": lambda mask: optax.adamw(RATE, weight_decay=DECAY, mask=mask),
    "rmsprop": lambda mask: optax.chain(
        optax.add_decayed_weights(DECAY, mask), optax.rmsprop(RATE, eps_in_sqrt=False)
    ),
    "lamb": lambda mask: optax.lamb(RATE, eps=1e-8, weight_decay=DECAY, mask=mask),
    "lion": lambda mask: optax.lion(RATE, weight_decay=DECAY, mask=mask),
}
"""Optax's optimizers with the default form of their weight decay."""


def run_steps(optimizer, params, **rate):
    """Returns the parameters after three steps with different gradients."""
    state = optimizer.init(params)
    for step in range(3):
        gradients = jax.tree.map(lambda x, step=step: jnp.cos(3 * x + step), params)
        with jax.numpy_dtype_promotion("strict" if rate else "standard"):
            updates, state = optimizer.update(gradients, state, params, **rate)
        params = optax.apply_updates(params, updates)
    return params


def layers():
    kernels = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    names = ("conv1", "fc")
    return {
        n: {"kernel": jnp.asarray(k), "bias": k[0]} for n, k in zip(names, kernels, strict=True)
    }


def ours(**settings):
    """Returns the parameters of two layers after three steps."""
    config = default_config().optimizer
    config.update(settings)
    return run_steps(make_optimizer(config), layers(), learning_rate=jnp.float32(RATE))


@pytest.mark.parametrize("name", OPTAX)
@pytest.mark.parametrize("decay_biases", [True, False])
def test_optimizers_match_optax(name, decay_biases):
    mask = None if decay_biases else lambda p: {n: {"kernel": True, "bias": False} for n in p}
    expected = run_steps(OPTAX[name](mask), layers())
    found = ours(name=name, weight_decay=DECAY, decay_biases=decay_biases)
    chex.assert_trees_all_close(found, expected, rtol=1e-6, atol=1e-7)


def test_b1_b2_and_eps():
    expected = run_steps(optax.adam(RATE, 0.8, 0.95, 0.1), layers())
    chex.assert_trees_all_close(ours(name="adam", b1=0.8, b2=0.95, eps=0.1), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("adam", optax.adamw(RATE, weight_decay=DECAY)),
        (
            "sgd",
            optax.chain(
                optax.trace(0.9),
                optax.add_decayed_weights(DECAY),
                optax.scale_by_learning_rate(RATE),
            ),
        ),
    ],
)
def test_decoupled_decay(name, expected):
    found = ours(name=name, weight_decay=DECAY, decay_form="decoupled")
    chex.assert_trees_all_close(found, run_steps(expected, layers()), rtol=1e-6)


def test_coupled_decay_of_adamw_equals_adam():
    coupled = ours(name="adamw", weight_decay=DECAY, decay_form="coupled")
    chex.assert_trees_all_equal(coupled, ours(name="adam", weight_decay=DECAY))


def test_nesterov():
    expected = run_steps(optax.sgd(RATE, 0.9, nesterov=True), layers())
    chex.assert_trees_all_close(ours(nesterov=True), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", *OPTAX])
def test_gradient_is_clipped_before_everything_else(name):
    config = default_config().optimizer
    config.name, config.weight_decay = name, DECAY
    plain = make_optimizer(config)
    config.clip_norm = 0.5

    class Clipped:
        init = plain.init

        @staticmethod
        def update(gradients, *rest, **rate):
            norm = np.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(gradients)))
            assert norm > 0.5
            return plain.update(jax.tree.map(lambda g: g * (0.5 / norm), gradients), *rest, **rate)

    rate = {"learning_rate": jnp.float32(RATE)}
    expected = run_steps(Clipped, layers(), **rate)
    found = run_steps(make_optimizer(config), layers(), **rate)
    # Lion takes the sign, which rounding may change near 0.
    chex.assert_trees_all_close(found, expected, rtol=2e-5)


def one_step(**settings):
    """Returns the change of each parameter in the first step."""
    config = default_config().optimizer
    config.update(settings)
    params, optimizer = layers(), make_optimizer(config)
    gradients = jax.tree.map(jnp.cos, params)
    return optimizer.update(
        gradients, optimizer.init(params), params, learning_rate=jnp.float32(RATE)
    )[0]


@pytest.mark.parametrize("name", ["sgd", *OPTAX])
def test_rates_of_layers_and_biases(name):
    """The first pattern counts; a bias has both factors."""
    patterns = (("conv.", 0.5), (".*", 2.0), ("fc", 8.0))
    settings = {"name": name, "weight_decay": DECAY}
    plain = one_step(**settings)
    found = one_step(**settings, lr_mult=patterns, bias_lr_mult=4.0)
    factors = {
        "conv1": {"kernel": 0.5, "bias": 2.0},
        "fc": {"kernel": 2.0, "bias": 8.0},
    }
    expected = jax.tree.map(lambda x, factor: x * factor, plain, factors)
    chex.assert_trees_all_close(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", OPTAX)
def test_every_optimizer_accumulates_gradients(name):
    single, config = one_step(name=name), default_config().optimizer
    config.name, config.grad_accum_steps = name, 2
    params, optimizer = layers(), make_optimizer(config)
    state, gradients = optimizer.init(params), jax.tree.map(jnp.cos, params)
    rate = {"learning_rate": jnp.float32(RATE)}
    for scale in (0.5, 1.5):
        scaled = jax.tree.map(lambda g, scale=scale: scale * g, gradients)
        updates, state = optimizer.update(scaled, state, params, **rate)
    chex.assert_trees_all_close(updates, single, rtol=1e-5)
