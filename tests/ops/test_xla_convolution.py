"""What follows a convolution."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from barriers import can_be_heeded, temporary_bytes
from random_arrays import random_array

from flax_vision.ops.xla_convolution import finish


def apart(y, added):
    return jax.nn.relu(y + added)


def test_a_sum_that_is_rectified_and_its_derivatives():
    y, added = random_array(0, (2, 3, 3, 4)), random_array(1, (2, 3, 3, 4))
    added = added.at[0].set(-y[0])  # corners, where the derivative is 0 as that of jax.nn.relu
    total = lambda form: lambda y, added: (form(y, added=added) ** 3).sum()  # noqa: E731
    of = [total(partial(finish, bias=None, rectify=True)), total(apart)]
    for derived in (
        lambda f: f(y, added),
        lambda f: jax.grad(f, (0, 1))(y, added),
        lambda f: jax.jvp(jax.grad(f), (y, added), (added, y)),
    ):
        kept, computed = map(derived, of)
        jax.tree.map(np.testing.assert_array_equal, kept, computed)


@can_be_heeded
def test_sums_of_a_chain_of_blocks_are_kept():
    """Of eight blocks the memory is that of twelve maps; computed again, of nineteen."""
    matrices, x = [jnp.ones((24, 24))] * 8, jnp.ones((8, 16, 16, 24))

    def total(matrices):
        y = x
        for matrix in matrices:
            y = finish(y @ matrix, None, y, rectify=True)
        return y.sum()

    assert temporary_bytes(jax.grad(total), matrices) < 14 * x.nbytes
