"""A convolution, its batch normalization, a shortcut's maps and the ReLU: one pass where they can.

By the running statistics, batch normalization multiplies each channel by a number and adds another.
The convolution before it does both at no cost.
"""

import jax
from flax import linen as nn

from flax_vision.models.layers import BatchNorm, Conv
from flax_vision.ops.batch_normalization import factor_and_shift
from flax_vision.ops.convolution import convolution
from flax_vision.ops.epilogue import finish


def conv_bn_relu(
    x: jax.Array,
    conv: Conv,
    norm: BatchNorm,
    added: jax.Array | None = None,
    relu: bool = True,
) -> jax.Array:
    """Returns the maps of a convolution, normalized, with others added, and rectified.

    Args:
      x: [N, H, W, C].
      conv: the convolution, a layer of the network that calls this.
      norm: what normalizes its maps, likewise.
      added: [N, H', W', K], added to the normalized maps; None for none.
      relu: makes what is then negative 0.

    Returns:
      [N, H', W', K].
    """
    if norm.uses_running_statistics and _have_variables(conv, norm):
        with jax.named_scope(conv.name or ""):
            kernel = conv.variables["params"]["kernel"]
            factor, bias = _factor_and_bias(conv, norm)
            x, bias = nn.dtypes.promote_dtype(x, bias, dtype=conv.dtype)
            settings = conv.stride, conv.padding, conv.groups
            return convolution(x, kernel, *settings, factor, bias, added, relu)
    return finish(norm(conv(x)), None, added, relu)


def _have_variables(conv: Conv, norm: BatchNorm) -> bool:
    """Whether there is something to fold; the layers make it, or name what is missing."""
    names = (conv, "params"), (norm, "params"), (norm, "batch_stats")
    return all(collection in layer.variables for layer, collection in names)


def _factor_and_bias(conv: Conv, norm: BatchNorm) -> tuple[jax.Array, jax.Array]:
    """Returns what a convolution without a bias is multiplied by, and what is added to it: [K]."""
    affine, statistics = norm.variables["params"], norm.variables["batch_stats"]
    factor, shift = factor_and_shift(
        statistics["mean"], statistics["var"], affine["scale"], affine["bias"], norm.epsilon
    )
    if conv.use_bias:
        shift = conv.variables["params"]["bias"] * factor + shift
    return factor, shift
