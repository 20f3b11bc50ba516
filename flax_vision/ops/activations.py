"""Activation functions that XLA computes slowly on a CPU."""

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops.backend import use_cpu_kernels


def tanh(x: jax.Array) -> jax.Array:
    """Returns `jnp.tanh(x)`, of any shape.

    On a CPU the result has its own memory. The XLA of jaxlib 0.12 may compute tanh in place, and
    then does not vectorize it: on the maps of LeNet-5's C1 it takes seven times as long.
    """
    return _tanh(x) if use_cpu_kernels() else jnp.tanh(x)


@jax.custom_jvp
def _tanh(x: jax.Array) -> jax.Array:
    y, _ = lax.optimization_barrier((jnp.tanh(x), x))
    return y


@_tanh.defjvp
def _tanh_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    y = _tanh(*primals)
    (t,) = tangents
    return y, (t + t * y) * (1 - y)  # the same formula as in lax.tanh
