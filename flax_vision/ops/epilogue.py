"""The epilogue of a convolution: what follows it in the same pass, where that can be."""

import jax
import jax.numpy as jnp
from jax import lax

from flax_vision.ops.backend import use_cpu_kernels


def finish(y: jax.Array, bias: jax.Array | None, added: jax.Array | None, relu: bool) -> jax.Array:
    """Returns the result of a convolution with what follows it.

    Args:
      y: [N, H, W, K].
      bias: [K], added to every pixel; None for none.
      added: [N, H, W, K], added besides; None for none.
      relu: makes negative numbers 0, at the end.
    """
    y = y if bias is None else y + bias.reshape(1, 1, 1, -1)
    if added is not None:
        return _rectified_sum(y, added) if relu else y + added
    return jax.nn.relu(y) if relu else y


@jax.custom_jvp
def _rectified_sum(y: jax.Array, added: jax.Array) -> jax.Array:
    """Returns max(y + added, 0), on a CPU behind a barrier, if XLA heeds those.

    XLA would fuse the sum into every operation that reads it, and so compute it again in each. In a
    chain of residual blocks each would read all that was added before it: the last of six blocks
    seven maps, and nine in its derivative, in place of two and three. The derivative is taken from
    the result, for a comparison with what the ReLU is given would need the sum again.
    """
    result = jax.nn.relu(y + added)
    return lax.optimization_barrier(result) if use_cpu_kernels() else result


@_rectified_sum.defjvp
def _rectified_sum_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    result = _rectified_sum(*primals)
    dy, dadded = tangents
    return result, jnp.where(result > 0, dy + dadded, 0)
