"""Local response normalisation across channels (Krizhevsky et al., 2012, section 3.3)."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops.backend import prefers_fast_forms


def local_response_normalization(
    x: jax.Array, *, k: float, alpha: float, beta: float = 0.75, size: int = 5
) -> jax.Array:
    r"""Divides each value by a power of the sum of squares of its neighbouring channels.

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
    normalize = _fast if prefers_fast_forms() else _plain
    wide = jnp.float32 if x.dtype.itemsize < 4 else x.dtype
    return normalize(x.astype(wide), k, alpha, beta, size).astype(x.dtype)


def _plain(x: jax.Array, k: float, alpha: float, beta: float, size: int) -> jax.Array:
    window = (*[1] * (x.ndim - 1), size)
    pads = [*[(0, 0)] * (x.ndim - 1), (size // 2, size // 2)]
    sums = lax.reduce_window(x * x, 0.0, lax.add, window, [1] * x.ndim, pads)
    return x * (k + alpha * sums) ** -beta


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _fast(x: jax.Array, k: float, alpha: float, beta: float, size: int) -> jax.Array:
    return x * _inverse_power(k + alpha * _channel_sums(x * x, size), beta)


def _forward(
    x: jax.Array, k: float, alpha: float, beta: float, size: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    scale = k + alpha * _channel_sums(x * x, size)
    return x * _inverse_power(scale, beta), (x, scale)


def _backward(
    k: float,
    alpha: float,
    beta: float,
    size: int,
    residuals: tuple[jax.Array, jax.Array],
    g: jax.Array,
) -> tuple[jax.Array]:
    # The window is symmetric, so the transpose of its sum is the same sum once more: that is what
    # differentiating it slice by slice cannot see.
    x, scale = residuals
    direct = g * _inverse_power(scale, beta)
    return (direct - 2 * alpha * beta * x * _channel_sums(x * direct / scale, size),)


_fast.defvjp(_forward, _backward)


def _channel_sums(x: jax.Array, size: int) -> jax.Array:
    channels = x.shape[-1]
    padded = jnp.pad(x, [*[(0, 0)] * (x.ndim - 1), (size // 2, size // 2)])
    return sum((padded[..., i : i + channels] for i in range(1, size)), padded[..., :channels])


def _inverse_power(x: jax.Array, beta: float) -> jax.Array:
    """Returns x to the power of -beta, without the slow logarithm for the papers' 3/4."""
    if beta != 0.75:
        return x**-beta
    root = lax.rsqrt(x)
    return root * jnp.sqrt(root)
