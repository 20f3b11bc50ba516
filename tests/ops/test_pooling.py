import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.ops.pooling import sum_pool


@pytest.mark.parametrize(
    ("size", "shape"), [(2, (3, 8, 6, 5)), (3, (1, 9, 3, 2)), (1, (2, 4, 4, 1))]
)
def test_values_and_gradients_are_those_of_reduce_window(size, shape):
    x = jax.random.normal(jax.random.key(0), shape)
    weights = jax.random.normal(jax.random.key(1), sum_pool(x, size).shape)

    def plain(x):
        window = (1, size, size, 1)
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, "VALID")

    np.testing.assert_allclose(sum_pool(x, size), plain(x), rtol=1e-5, atol=1e-5)
    fast = jax.grad(lambda x: jnp.sum(weights * sum_pool(x, size)))(x)
    slow = jax.grad(lambda x: jnp.sum(weights * plain(x)))(x)
    np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-5)
