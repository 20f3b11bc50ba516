"""The precision in which sums over many values are taken."""

import jax
import jax.numpy as jnp


def at_least_single(x: jax.Array) -> jax.Array:
    """Returns half precision as float32, anything else as it is."""
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
