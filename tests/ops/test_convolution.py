import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_array

from flax_vision.ops.convolution import convolution

# Size of the kernel, stride, padding, groups; the first four have forms of their own.
CASES = [
    (1, 1, "VALID", 1),
    (1, 2, "VALID", 1),
    (1, 3, 0, 1),
    (9, 1, "VALID", 1),
    (1, 1, 1, 1),
    (9, 1, 1, 1),
    (3, 2, "SAME", 1),
    (5, 1, 2, 1),
    (3, 2, ((0, 1), (2, 0)), 1),
    (1, 1, "VALID", 2),
    (3, 1, 1, 4),
]


def results(x, kernel, *settings):
    """The convolution and the gradients of a sum with random weights."""

    def all_three(x, kernel):
        y, pull_back = jax.vjp(lambda x, kernel: convolution(x, kernel, *settings), x, kernel)
        return y, *pull_back(random_array(2, y.shape))

    return jax.jit(all_three)(x, kernel)


@pytest.mark.parametrize(("size", "stride", "padding", "groups"), CASES)
def test_forms_agree(size, stride, padding, groups, use_plain_forms):
    x = random_array(0, (2, 9, 9, 4))
    kernel = random_array(1, (size, size, 4 // groups, 8))
    fast = results(x, kernel, stride, padding, groups)
    use_plain_forms()
    plain = results(x, kernel, stride, padding, groups)
    for ours, theirs in zip(fast, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_it_is_a_cross_correlation():
    x = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(1.0)
    kernel = jnp.arange(9.0).reshape(3, 3, 1, 1)
    y = convolution(x, kernel, padding=1)[0, :, :, 0]
    np.testing.assert_array_equal(y[1:4, 1:4], kernel[::-1, ::-1, 0, 0])


@pytest.mark.parametrize(
    ("size", "operation"), [(1, "dot_general"), (9, "dot_general"), (3, "conv")]
)
def test_pointwise_and_whole_convolutions_are_matrix_products(size, operation):
    x, kernel = jnp.ones((2, 9, 9, 4)), jnp.ones((size, size, 4, 8))
    operations = {str(eqn.primitive) for eqn in jax.make_jaxpr(convolution)(x, kernel).eqns}
    assert ("dot_general" in operations) == (operation == "dot_general")
    assert ("conv_general_dilated" in operations) == (operation == "conv")
