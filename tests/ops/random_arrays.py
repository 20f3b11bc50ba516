import jax
import jax.numpy as jnp
import numpy as np


def random_array(seed: int, shape: tuple[int, ...]) -> jax.Array:
    """Draws from N(0, 1) without the second that JAX takes to compile its generator."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))
