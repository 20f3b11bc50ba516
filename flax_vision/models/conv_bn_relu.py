"""A convolution, batch normalization, a residual and a ReLU: in one pass where possible.

With running statistics, batch normalization is one factor and one summand per channel. The
convolution before it applies both at no cost.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax
from flax import linen as nn
from jax import Array

from flax_vision.models.layers import BatchNorm, Conv
from flax_vision.ops import convolution
from flax_vision.ops.normalization import scale_and_shift

_folds = ContextVar("flax_vision_folds", default=True)


@contextmanager
def separate_layers() -> Iterator[None]:
    """Traces each convolution and each normalization as a layer with its own output.

    Functions that were traced earlier keep their folded layers, so trace a new function.
    """
    token = _folds.set(False)
    try:
        yield
    finally:
        _folds.reset(token)


def conv_bn_relu(
    x: Array, conv: Conv, norm: BatchNorm, residual: Array | None = None, relu: bool = True
) -> Array:
    """Computes relu(norm(conv(x)) + residual).

    Args:
      x: Images [N, H, W, C].
      conv: Convolution, a layer of the calling model.
      norm: Normalization of its maps, a layer of the calling model.
      residual: Maps [N, H', W', K] to add; None for none.
      relu: Applies a ReLU at the end.

    Returns:
      Maps [N, H', W', K].
    """
    layers = (conv, "params"), (norm, "params"), (norm, "batch_stats")
    folds = _folds.get() and norm.uses_running_statistics
    if folds and all(name in layer.variables for layer, name in layers):
        with jax.named_scope(conv.name or ""):
            kernel = conv.variables["params"]["kernel"]
            scale, bias = _fold(conv, norm)
            x, bias = nn.dtypes.promote_dtype(x, bias, dtype=conv.dtype)
            geometry = conv.stride, conv.padding, conv.groups
            return convolution.conv(x, kernel, *geometry, scale, bias, residual, relu)
    # Layers without variables create them here, or name the missing one.
    return convolution.apply_epilogue(norm(conv(x)), None, residual, relu)


def _fold(conv: Conv, norm: BatchNorm) -> tuple[Array, Array]:
    """Folds a normalization and the convolution's own bias into a scale [K] and a bias [K]."""
    affine, statistics = norm.variables["params"], norm.variables["batch_stats"]
    scale, shift = scale_and_shift(
        statistics["mean"], statistics["var"], affine["scale"], affine["bias"], norm.epsilon
    )
    if conv.use_bias:
        shift = conv.variables["params"]["bias"] * scale + shift
    return scale, shift
