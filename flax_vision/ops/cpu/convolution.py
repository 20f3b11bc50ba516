"""Convolution on a CPU: through the primitives, or as a matrix product."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from flax_vision.ops.convolution import conv_padding, cross_correlate, scale_kernel
from flax_vision.ops.cpu.convolution_primitives import conv_onednn
from flax_vision.ops.cpu.xla_convolution import geometry_of
from flax_vision.ops.padding import Padding

# For few rows and a large matrix, XLA's products on x86-64 (YNNPACK) take up to 1.7 times as long
# as its convolutions (Eigen).
MAX_CONV_ROWS, MIN_CONV_MATRIX = 64, 4 << 20

_Pair = tuple[Array, Array]


def conv(
    x: Array,
    kernel: Array,
    stride: int = 1,
    padding: Padding = "VALID",
    groups: int = 1,
    scale: Array | None = None,
    bias: Array | None = None,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """Computes `ops.convolution.conv` by the fastest form for its shapes."""
    pads = conv_padding(x.shape, kernel.shape, stride, padding, groups)
    is_dense = groups == 1 and x.size > 0
    covers_image = kernel.shape[:2] == x.shape[1:3] and not any(map(sum, pads))
    if is_dense and not covers_image and _are_float32(x, kernel) and min(map(min, pads)) >= 0:
        geometry = geometry_of(x.shape, kernel.shape, stride, pads)
        return conv_onednn(x, kernel, geometry, scale, bias, residual, relu)
    kernel = scale_kernel(kernel, scale, x.dtype)
    is_product = is_dense and covers_image
    y = _fully_connected(x, kernel) if is_product else cross_correlate(x, kernel, stride, pads)
    return apply_epilogue(y, bias, residual, relu)


def apply_epilogue(y: Array, bias: Array | None, residual: Array | None, relu: bool) -> Array:
    """Computes relu(y + bias + residual), and the ReLU of a sum only once."""
    y = y if bias is None else y + bias.reshape(1, 1, 1, -1)
    if residual is not None:
        return _relu_of_sum(y, residual) if relu else y + residual
    return jax.nn.relu(y) if relu else y


@jax.custom_jvp
def _relu_of_sum(y: Array, residual: Array) -> Array:
    """Computes relu(y + residual) behind a barrier, if XLA heeds barriers.

    XLA would fuse the sum into every operation that reads it, and so compute it again in each. In a
    chain of residual blocks each would read all earlier summands: the last of six blocks seven
    maps, and nine in its derivative, instead of two and three. The derivative compares the result,
    because a comparison of the ReLU's input would need the sum again.
    """
    return lax.optimization_barrier(jax.nn.relu(y + residual))


@_relu_of_sum.defjvp
def _relu_of_sum_jvp(primals: _Pair, tangents: _Pair) -> _Pair:
    result = _relu_of_sum(*primals)
    dy, dresidual = tangents
    return result, jnp.where(result > 0, dy + dresidual, 0)


def _fully_connected(x: Array, kernel: Array) -> Array:
    """Multiplies whole images by kernels of their size."""
    n, k = x.shape[0], kernel.shape[-1]
    matrix = kernel.reshape(-1, k)
    is_slow = n <= MAX_CONV_ROWS and matrix.size >= MIN_CONV_MATRIX and _are_float32(x, kernel)
    matmul = _matmul_by_conv if is_slow else jnp.matmul
    return matmul(x.reshape(n, matrix.shape[0]), matrix).reshape(n, 1, 1, k)


@jax.custom_jvp
def _matmul_by_conv(x: Array, matrix: Array) -> Array:
    """Computes x @ matrix as a convolution; its gradients are products."""
    no_padding = ((0, 0), (0, 0))
    return cross_correlate(x[:, None, None], matrix[None, None], 1, no_padding)[:, 0, 0]


@_matmul_by_conv.defjvp
def _matmul_by_conv_jvp(primals: _Pair, tangents: _Pair) -> _Pair:
    (x, matrix), (dx, dmatrix) = primals, tangents
    return _matmul_by_conv(x, matrix), dx @ matrix + x @ dmatrix


def _are_float32(x: Array, kernel: Array) -> bool:
    return x.dtype == kernel.dtype == jnp.float32
