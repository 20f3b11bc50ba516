"""Local response normalization across channels (Krizhevsky et al., 2012, section 3.3)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flax_vision.ops.backend import use_cpu_kernels
from flax_vision.ops.precision import at_least_single


def local_response_normalization(
    x: jax.Array, *, k: float, alpha: float, beta: float = 0.75, size: int = 5
) -> jax.Array:
    r"""Divides each value by a power of the sum of squares of its neighboring channels.

    .. math:: b_i = a_i / (k + \alpha \sum_{|j - i| \le \lfloor n/2 \rfloor} a_j^2)^\beta

    The sum ends at the first and the last channel. It is computed in float32 at least.

    Args:
      x: [..., C], the a of the formula.
      k: constant beside the sum.
      alpha: factor of each term of the sum; some implementations divide it by n first.
      beta: exponent.
      size: n, odd, the channels in the sum.

    Returns:
      b, of the shape and type of x.
    """
    wide = at_least_single(x)
    sums = _banded_sums if use_cpu_kernels() else _window_sums
    scale = k + alpha * sums(wide * wide, size)
    return (wide * _inverse_power(scale, beta)).astype(x.dtype)


def _window_sums(x: jax.Array, size: int) -> jax.Array:
    window = (*[1] * (x.ndim - 1), size)
    pads = [*[(0, 0)] * (x.ndim - 1), (size // 2, size // 2)]
    return lax.reduce_window(x, np.zeros((), x.dtype), lax.add, window, [1] * x.ndim, pads)


def _banded_sums(x: jax.Array, size: int) -> jax.Array:
    """The same as a product with a matrix of ones near the diagonal, and so its derivatives."""
    channels = np.arange(x.shape[-1])
    band = abs(channels[:, None] - channels) <= size // 2
    return x @ jnp.asarray(band, x.dtype)


def _inverse_power(x: jax.Array, beta: float) -> jax.Array:
    """Returns x to the power of -beta, without the slow logarithm for the papers' 3/4."""
    if beta != 0.75:
        return x**-beta
    root = lax.rsqrt(x)
    return root * jnp.sqrt(root)
