import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_array

from flax_vision.ops.normalization import batch_statistics, normalize


def test_statistics_are_those_of_each_channel():
    x = random_array(0, (4, 5, 6, 3))
    mean, variance = batch_statistics(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, x.var((0, 1, 2)), rtol=1e-5)


def test_a_variance_is_never_negative():
    """The mean of squares less the square of the mean can be, by rounding."""
    for number in np.random.default_rng(0).uniform(100, 1000, 50).astype(np.float32):
        _, variance = batch_statistics(jnp.full((3, 3, 3, 1), number))
        assert variance >= 0


def test_normalized_maps():
    x, scale, bias = random_array(0, (4, 5, 6, 3)), random_array(1, (3,)), random_array(2, (3,))
    y = normalize(x, *batch_statistics(x), scale, bias, 0.0)
    np.testing.assert_allclose(y.mean((0, 1, 2)), bias, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), abs(scale), rtol=1e-4)


@pytest.mark.slow
def test_gradient_against_the_formula_in_float64():
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 2))

    def loss(x, weights):
        one = jnp.ones(2, x.dtype)
        return (normalize(x, *batch_statistics(x), one, one, 1e-5) * weights).sum()

    with jax.enable_x64(True):
        weights = jnp.asarray(np.random.default_rng(1).standard_normal(x.shape))
        direction = jnp.asarray(np.random.default_rng(2).standard_normal(x.shape))
        gradient = (jax.grad(loss)(jnp.asarray(x), weights) * direction).sum()
        ahead, behind = (loss(x + step * direction, weights) for step in (1e-6, -1e-6))
        np.testing.assert_allclose(gradient, (ahead - behind) / 2e-6, rtol=1e-6)


def test_kernel_equals_reference(use_reference_ops):
    x, scale, bias = random_array(0, (4, 5, 6, 3)), random_array(1, (3,)), random_array(2, (3,))
    operands = x, *batch_statistics(x), scale, bias, 1e-3
    fast = normalize(*operands)
    use_reference_ops()
    np.testing.assert_allclose(fast, normalize(*operands), rtol=1e-5, atol=1e-5)
    assert "sub" in str(jax.make_jaxpr(normalize)(*operands))
