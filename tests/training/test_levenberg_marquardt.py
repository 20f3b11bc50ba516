from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flax_vision as fv
from flax_vision.models.lenet import CODES, pad_to_field, scaled_tanh
from flax_vision.training import levenberg_marquardt as module
from flax_vision.training.levenberg_marquardt import levenberg_marquardt, make_curvature
from flax_vision.training.losses import make_loss

LOSS = make_loss("lenet5_map", 10.0)


def after(layers, params, x):
    """What goes out of the last of some layers where x goes into the first."""
    for layer in layers:
        x = layer.weighted_sums(params.get(layer.name), x)
        x = scaled_tanh(x) if layer.has_sigmoid else x
    return x


@pytest.fixture(scope="module")
def lenet5():
    """A LeNet-5, its parameters, three images and their labels."""
    model = fv.create_model("lenet5")
    images = np.random.default_rng(0).uniform(-0.1, 1.175, (3, 28, 28, 1)).astype(np.float32)
    params = jax.jit(model.init)(jax.random.key(1), images)["params"]
    return model, params, jnp.asarray(images), jnp.array([3, 1, 4])


@pytest.fixture(scope="module")
def curvature(lenet5):
    model, *operands = lenet5
    return jax.device_get(jax.jit(make_curvature(model, LOSS))(*operands))


@pytest.fixture(scope="module")
def features(lenet5):
    """The outputs of F6."""
    model, params, images, _ = lenet5
    apply = jax.jit(partial(model.apply, mutable=["intermediates"]))
    _, outputs = apply({"params": params}, images)
    return outputs["intermediates"]["f6"][0]


def test_layers_compute_the_features(lenet5, features):
    model, params, images, _ = lenet5
    x = after(module._LAYERS, params, pad_to_field(images, model.background))
    np.testing.assert_allclose(x, features, rtol=1e-5, atol=1e-6)


def test_every_parameter_has_a_curvature_that_is_never_negative(lenet5, curvature):
    _, params, *_ = lenet5
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, curvature)
    for leaf in jax.tree.leaves(curvature):
        assert leaf.min() >= 0
        assert leaf.max() > 0


@pytest.fixture(scope="module")
def numeric(lenet5):
    """Returns second derivatives by one parameter: finite differences in double precision."""
    model, params, images, labels = (lenet5[0], *jax.device_get(lenet5[1:]))
    codes = CODES["digits"](10).astype(np.float64)

    @jax.jit
    def error(params):
        x = pad_to_field(jnp.asarray(images, jnp.float64), model.background)
        x = after(module._LAYERS, params, x)
        return LOSS(-jnp.sum((x[:, None] - codes[None]) ** 2, axis=-1), labels).mean()

    def numeric(layer, name, index):
        def along(step):
            moved = jax.tree.map(lambda x: np.array(x, np.float64), params)
            moved[layer][name][index] += step
            return float(error(moved))

        with jax.enable_x64(True):
            return (along(1e-4) - 2 * along(0.0) + along(-1e-4)) / 1e-8

    return numeric


@pytest.fixture(scope="module")
def by_features(lenet5, features):
    """First and second derivatives of the images' losses by the outputs of F6."""
    codes = jnp.asarray(CODES["digits"](10), jnp.float32)

    def error(features, label):
        return LOSS(-jnp.sum((features[None] - codes) ** 2, axis=-1)[None], label[None])[0]

    def derivatives(features, label):
        second = jnp.diagonal(jax.hessian(error)(features, label))
        return jax.grad(error)(features, label), second

    return jax.jit(jax.vmap(derivatives))(features, lenet5[-1])


@pytest.fixture(scope="module")
def inputs(lenet5):
    """The inputs of F6, [N, 120]."""
    model, params, images, _ = lenet5
    x = after(module._LAYERS[:-1], params, pad_to_field(images, model.background))
    return np.asarray(x).reshape(len(images), -1)


@pytest.mark.parametrize("index", [(0,), (7,), (80,), (0, 7), (119, 80)])
def test_gauss_newton_of_the_last_layer(features, by_features, inputs, curvature, numeric, index):
    """Only one sigmoid follows F6, and this test computes its neglected second derivative."""
    name = "kernel" if len(index) == 2 else "bias"
    by_parameter = inputs[:, index[0]] if name == "kernel" else 1.0
    f6, first, second = (np.asarray(x)[:, index[-1]] for x in (features, *by_features))
    slope = 1.7159 * 2 / 3 * (1 - (f6 / 1.7159) ** 2)
    expected = float((second * slope**2 * by_parameter**2).mean())
    assert curvature["F6"][name][index] == pytest.approx(expected, rel=1e-4)
    # What Gauss and Newton leave out is the gradient times the bend of the sigmoid.
    bend = -2 * (2 / 3) * (f6 / 1.7159) * slope
    whole = expected + float((first * bend * by_parameter**2).mean())
    assert numeric("F6", name, index) == pytest.approx(whole, rel=2e-3, abs=1e-3)


def test_shared_weights_add_up_over_positions(lenet5):
    """A convolution of one pixel's inputs: the sum over pixels of input squared times curvature."""
    x = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    params = {"kernel": jnp.ones((1, 1, 1, 1)), "bias": jnp.zeros(1)}
    squared = jax.tree.map(jnp.square, (params, x))
    _, propagate = jax.vjp(module._convolve, *squared)
    second = jnp.full((1, 3, 3, 1), 2.0)
    by_params, by_input = propagate(second)
    assert float(by_params["kernel"].sum()) == 2 * sum(i**2 for i in range(1, 10))
    assert float(by_params["bias"].sum()) == 18
    np.testing.assert_array_equal(by_input, second)


def test_curvature_divides_the_step():
    """Equations 18 and 21."""
    optimizer = levenberg_marquardt(0.02)
    params = {"w": jnp.array([1.0, 2.0])}
    assert optimizer.init(params)["w"].tolist() == [0.0, 0.0]
    state = {"w": jnp.array([0.0, 0.98])}
    gradient = {"w": jnp.array([3.0, 3.0])}
    updates, after = optimizer.update(gradient, state, params, learning_rate=jnp.float32(0.0005))
    stepped = optax.apply_updates(params, updates)
    np.testing.assert_allclose(stepped["w"], [1 - 0.0005 / 0.02 * 3, 2 - 0.0005 * 3], rtol=1e-6)
    assert after is state
