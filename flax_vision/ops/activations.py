"""Activation functions with a CPU kernel."""

import jax.numpy as jnp
from jax import Array

from flax_vision.ops.backend import with_cpu_kernel


@with_cpu_kernel
def tanh(x: Array) -> Array:
    """Computes the hyperbolic tangent."""
    return jnp.tanh(x)
