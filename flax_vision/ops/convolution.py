"""Convolution of images, lowered to what is fast."""

import jax
import jax.numpy as jnp

from flax_vision.ops import epilogue, xla_convolution
from flax_vision.ops.backend import use_cpu_kernels
from flax_vision.ops.cpu import convolution_primitives
from flax_vision.ops.padding import Padding, padding_pairs
from flax_vision.ops.xla_convolution import Shape, geometry_of

# Where few rows meet a large matrix, YNNPACK, which has XLA's products on x86-64, takes up to 1.7
# times as long as Eigen does, which has its convolutions.
_FEW_ROWS, _LARGE_MATRIX = 64, 4 << 20
_NO_PADDING = ((0, 0), (0, 0))


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    stride: int = 1,
    padding: Padding = "VALID",
    groups: int = 1,
    factor: jax.Array | None = None,
    bias: jax.Array | None = None,
    added: jax.Array | None = None,
    relu: bool = False,
) -> jax.Array:
    """Returns the cross-correlation of images with kernels, and what follows it in the same pass.

    Args:
      x: [N, H, W, C].
      kernel: [height, width, C / groups, K].
      stride: between two windows, in pixels.
      padding: zeros around the image, see `padding_pairs`.
      groups: into which the channels are divided; each group of kernels sees one of them.
      factor: [K], by which each channel of the result is multiplied. With one, the kernel may be of
        more precision than x, so that the product of the two is rounded once.
      bias: [K], added to every pixel of it then.
      added: [N, H', W', K], added to it besides.
      relu: makes what is then negative 0: a ReLU.

    Returns:
      [N, H', W', K].

    Raises:
      ValueError: the kernels do not fit the channels or the padded images.
    """
    pads = padding_pairs(padding, x.shape, kernel.shape[:2], stride)
    geometry = geometry_of(x.shape, kernel.shape, stride, pads)
    if x.shape[3] != kernel.shape[2] * groups or min(geometry.shape[1:3]) < 1:
        raise ValueError(
            f"kernels [{_listed(kernel.shape)}] in {groups} groups do not fit images "
            f"[{_listed(x.shape)}] with padding {pads}."
        )
    is_whole = kernel.shape[:2] == x.shape[1:3] and not any(map(sum, pads))
    fast = groups == 1 and x.size > 0 and use_cpu_kernels()
    is_single = x.dtype == kernel.dtype == jnp.float32
    if fast and not is_whole and is_single and min(map(min, pads)) >= 0:
        return convolution_primitives.convolution(x, kernel, factor, bias, geometry, added, relu)
    if factor is not None:
        kernel = (kernel * factor.reshape(1, 1, 1, -1)).astype(x.dtype)
    use_whole = fast and is_whole
    y = _whole(x, kernel) if use_whole else xla_convolution.convolution(x, kernel, geometry)
    return epilogue.finish(y, bias, added, relu)


def _listed(shape: Shape) -> str:
    return ",".join(map(str, shape))


def _whole(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution with kernels as large as the image: a fully connected layer."""
    n, k = x.shape[0], kernel.shape[-1]
    matrix = kernel.reshape(-1, k)
    is_single = x.dtype == kernel.dtype == jnp.float32
    is_slow = is_single and n <= _FEW_ROWS and matrix.size >= _LARGE_MATRIX
    product = _product_of_few_rows if is_slow else jnp.matmul
    return product(x.reshape(n, matrix.shape[0]), matrix).reshape(n, 1, 1, k)


@jax.custom_jvp
def _product_of_few_rows(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """Returns x @ matrix, as a convolution; its gradients are products."""
    x, kernel = x[:, None, None], matrix[None, None]
    y = xla_convolution.convolution(x, kernel, geometry_of(x.shape, kernel.shape, 1, _NO_PADDING))
    return y[:, 0, 0]


@_product_of_few_rows.defjvp
def _product_of_few_rows_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x, matrix), (dx, dmatrix) = primals, tangents
    return _product_of_few_rows(x, matrix), dx @ matrix + x @ dmatrix
