"""Precision of sums over many values."""

import jax.numpy as jnp
from jax import Array


def at_least_float32(x: Array) -> Array:
    """Converts half precision to float32, and leaves other types unchanged."""
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
