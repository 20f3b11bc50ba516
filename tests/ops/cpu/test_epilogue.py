"""The ReLU of a sum of two maps, with a barrier and without."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from barriers import can_be_heeded, temporary_bytes
from random_arrays import random_array

from flax_vision.ops.convolution import apply_epilogue


def relu_of_sum(y, residual):
    return jax.nn.relu(y + residual)


def loss(form, y, residual):
    """Computes a sum whose derivatives at the corners of the ReLU are not 0."""
    return ((form(y, residual=residual) - 1) ** 3).sum()


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f, maps: f(*maps),
        lambda f, maps: jax.grad(f, (0, 1))(*maps),
        lambda f, maps: jax.jvp(jax.grad(f, (0, 1)), maps, maps[::-1]),
    ],
    ids=["value", "gradients", "second derivative"],
)
def test_equals_the_relu_of_the_sum(derivative):
    y, residual = random_array(0, (2, 3, 3, 4)), random_array(1, (2, 3, 3, 4))
    residual = residual.at[0].set(-y[0])  # corners, where the derivative is 0
    actual = derivative(partial(loss, partial(apply_epilogue, bias=None, relu=True)), (y, residual))
    expected = derivative(partial(loss, relu_of_sum), (y, residual))
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@can_be_heeded
def test_sums_of_a_chain_of_blocks_are_stored():
    """Eight blocks take the memory of twelve maps, or nineteen without the barrier."""
    matrices, x = [jnp.ones((24, 24))] * 8, jnp.ones((8, 16, 16, 24))

    def total(matrices):
        y = x
        for matrix in matrices:
            y = apply_epilogue(y @ matrix, None, y, relu=True)
        return y.sum()

    assert temporary_bytes(jax.grad(total), matrices) < 14 * x.nbytes


def test_reference_has_no_barrier(use_reference_ops):
    use_reference_ops()
    y = jnp.ones((1, 2, 2, 3))
    form = partial(apply_epilogue, bias=None, relu=True)
    assert "barrier" not in str(jax.make_jaxpr(form)(y, residual=y))
