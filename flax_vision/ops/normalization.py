"""Batch normalization (Ioffe and Szegedy, 2015) and local response normalization."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from flax_vision.ops.backend import with_cpu_kernel
from flax_vision.ops.precision import at_least_float32


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Computes the mean and variance of each channel, in float32 at least.

    As in Flax, the variance is the mean of squares minus the squared mean, from one pass over the
    maps. Of a channel whose mean is a thousand standard deviations, one digit of it remains.

    Args:
      x: Maps [N, H, W, C].

    Returns:
      Mean [C] and variance [C] of the batch; the variance is not the unbiased estimate.
    """
    wide = at_least_float32(x)
    mean = wide.mean((0, 1, 2))
    variance = (wide * wide).mean((0, 1, 2)) - mean * mean
    return mean, jnp.maximum(variance, 0)


@with_cpu_kernel
def normalize(
    x: Array, mean: Array, variance: Array, scale: Array, bias: Array, epsilon: float
) -> Array:
    r"""Normalizes each channel of the maps (algorithm 1).

    .. math:: y = \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta

    Args:
      x: Maps [N, H, W, C].
      mean: Means :math:`\mu` [C].
      variance: Variances :math:`\sigma^2` [C].
      scale: Factors :math:`\gamma` [C].
      bias: Summands :math:`\beta` [C].
      epsilon: Summand of the variance.

    Returns:
      Maps y of the shape of `x`, in float32 at least.
    """
    mean, variance, scale, bias = (
        array.reshape(1, 1, 1, -1) for array in (mean, variance, scale, bias)
    )
    return (at_least_float32(x) - mean) * lax.rsqrt(variance + epsilon) * scale + bias


def scale_and_shift(
    mean: Array, variance: Array, scale: Array, bias: Array, epsilon: float
) -> tuple[Array, Array]:
    """Folds a normalization into one factor [C] and one summand [C] of each channel."""
    folded = lax.rsqrt(variance + epsilon) * scale
    return folded, bias - mean * folded


@with_cpu_kernel
def local_response_norm(
    x: Array, *, k: float, alpha: float, beta: float = 0.75, size: int = 5
) -> Array:
    r"""Divides each value by a power of the sum of squares over neighboring channels.

    Krizhevsky et al., 2012, section 3.3. The sum ends at the first and the last channel, and is
    computed in float32 at least.

    .. math:: b_i = a_i / (k + \alpha \sum_{|j - i| \le \lfloor n/2 \rfloor} a_j^2)^\beta

    Args:
      x: Values a [..., C].
      k: Constant beside the sum.
      alpha: Factor of each term of the sum; some implementations divide it by n first.
      beta: Exponent.
      size: Odd number n of channels in the sum.

    Returns:
      Values b of the shape and type of `x`.
    """
    wide, axes = at_least_float32(x), x.ndim - 1
    sums = lax.reduce_window(
        wide * wide,
        np.zeros((), wide.dtype),
        lax.add,
        window_dimensions=(*[1] * axes, size),
        window_strides=[1] * x.ndim,
        padding=[*[(0, 0)] * axes, (size // 2, size // 2)],
    )
    return (wide / (k + alpha * sums) ** beta).astype(x.dtype)
