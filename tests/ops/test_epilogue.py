"""What follows a convolution: the sum of two maps, rectified, with a barrier and without."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from barriers import can_be_heeded, temporary_bytes
from random_arrays import random_array

from flax_vision.ops.epilogue import finish


def apart(y, added):
    return jax.nn.relu(y + added)


def total(form, y, added):
    """Of a function whose derivatives at the corners of the ReLU are not zero anyway."""
    return ((form(y, added=added) - 1) ** 3).sum()


@pytest.mark.parametrize(
    "derived",
    [
        lambda f, maps: f(*maps),
        lambda f, maps: jax.grad(f, (0, 1))(*maps),
        lambda f, maps: jax.jvp(jax.grad(f, (0, 1)), maps, maps[::-1]),
    ],
    ids=["value", "gradients", "second derivative"],
)
def test_is_the_relu_of_the_sum(derived):
    y, added = random_array(0, (2, 3, 3, 4)), random_array(1, (2, 3, 3, 4))
    added = added.at[0].set(-y[0])  # corners, where its derivative is 0
    actual = derived(partial(total, partial(finish, bias=None, relu=True)), (y, added))
    expected = derived(partial(total, apart), (y, added))
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@can_be_heeded
def test_sums_of_a_chain_of_blocks_are_kept():
    """Of eight blocks the memory is that of twelve maps; without the barrier, of nineteen."""
    matrices, x = [jnp.ones((24, 24))] * 8, jnp.ones((8, 16, 16, 24))

    def sum_at_the_end(matrices):
        y = x
        for matrix in matrices:
            y = finish(y @ matrix, None, y, relu=True)
        return y.sum()

    assert temporary_bytes(jax.grad(sum_at_the_end), matrices) < 14 * x.nbytes


def test_plain_forms_have_no_barrier(use_plain_forms):
    use_plain_forms()
    y = jnp.ones((1, 2, 2, 3))
    assert "barrier" not in str(jax.make_jaxpr(partial(finish, bias=None, relu=True))(y, added=y))
