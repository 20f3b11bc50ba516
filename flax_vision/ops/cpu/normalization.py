"""Normalizations in few passes over the maps.

On a CPU a pass over the maps costs as much as a share of the convolution, and XLA makes one for
every difference `x - mean` whose sum it needs.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from flax_vision.ops.normalization import scale_and_shift
from flax_vision.ops.precision import at_least_float32


def normalize(
    x: Array, mean: Array, variance: Array, scale: Array, bias: Array, epsilon: float
) -> Array:
    """Normalizes maps by one product and one sum, forward and backward."""
    factor, shift = scale_and_shift(mean, variance, scale, bias, epsilon)
    return at_least_float32(x) * factor.reshape(1, 1, 1, -1) + shift.reshape(1, 1, 1, -1)


def local_response_norm(
    x: Array, *, k: float, alpha: float, beta: float = 0.75, size: int = 5
) -> Array:
    """Sums over neighbors by a product with a matrix of ones near its diagonal."""
    wide, channels = at_least_float32(x), np.arange(x.shape[-1])
    band = abs(channels[:, None] - channels) <= size // 2
    base = k + alpha * (wide * wide @ jnp.asarray(band, wide.dtype))
    return (wide * _inverse_power(base, beta)).astype(x.dtype)


def _inverse_power(x: Array, beta: float) -> Array:
    """Computes x to the power of -beta, without the slow logarithm for the papers' 3/4."""
    if beta != 0.75:
        return x**-beta
    root = lax.rsqrt(x)
    return root * jnp.sqrt(root)
