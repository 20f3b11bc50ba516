"""Batch normalization (Ioffe and Szegedy, 2015, algorithm 1), in few passes over the maps.

A pass over the maps costs as much as a convolution's share of them on a CPU, and XLA makes one for
every difference x - mean whose sum it needs. So the maps are only scaled and shifted, and summed as
they are and squared, once each, forwards and backwards.
"""

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops.precision import at_least_single


def batch_statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the mean and the variance of each channel, in float32 at least.

    The variance is the mean of squares less the square of the mean, so that a mean of a thousand
    standard deviations leaves one digit of it, as in Flax's own.

    Args:
      x: [N, H, W, C].

    Returns:
      [C] and [C], the variance that of the batch, not an estimate of the population's.
    """
    wide = at_least_single(x)
    mean = wide.mean((0, 1, 2))
    variance = (wide * wide).mean((0, 1, 2)) - mean * mean
    return mean, jnp.maximum(variance, 0)


def normalize(
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    epsilon: float,
) -> jax.Array:
    r"""Returns the maps with other means and variances.

    .. math:: y = \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta

    Args:
      x: [N, H, W, C].
      mean: [C], the :math:`\mu` of the formula.
      variance: [C], :math:`\sigma^2`.
      scale: [C], :math:`\gamma`.
      bias: [C], :math:`\beta`.
      epsilon: added to the variance.

    Returns:
      y, of the shape of x, in float32 at least.
    """
    factor, shift = factor_and_shift(mean, variance, scale, bias, epsilon)
    wide = at_least_single(x)
    return wide * factor.reshape(1, 1, 1, -1) + shift.reshape(1, 1, 1, -1)


def factor_and_shift(
    mean: jax.Array, variance: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array]:
    """Returns by what `normalize` multiplies each channel, and what it adds then: [C] and [C]."""
    factor = lax.rsqrt(variance + epsilon) * scale
    return factor, bias - mean * factor
