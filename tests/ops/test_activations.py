import jax
import jax.numpy as jnp
import numpy as np
import pytest
from barriers import can_be_heeded, temporary_bytes
from jax import lax
from random_arrays import random_array

from flax_vision.ops.activations import tanh


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f: f,
        jax.grad,
        lambda f: jax.grad(jax.grad(f)),
        lambda f: lambda x: jax.jvp(f, (x,), (x,))[1],
    ],
    ids=["value", "gradient", "second derivative", "forward derivative"],
)
def test_tanh_equals_jax(derivative):
    x = random_array(0, (64,))
    actual, expected = (jax.jit(jax.vmap(derivative(f)))(x) for f in (tanh, jnp.tanh))
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-7)


@can_be_heeded
def test_tanh_is_not_computed_in_place():
    """The XLA of jaxlib 0.12 does not vectorize it in place."""
    x = jnp.ones((64, 64))
    assert temporary_bytes(lambda x: tanh(lax.optimization_barrier(x * 2)), x) >= x.nbytes
    assert temporary_bytes(lambda x: jnp.tanh(lax.optimization_barrier(x * 2)), x) < x.nbytes


def test_reference_has_no_barrier(use_reference_ops):
    use_reference_ops()
    assert "barrier" not in str(jax.make_jaxpr(lambda x: tanh(x))(jnp.ones(2)))
