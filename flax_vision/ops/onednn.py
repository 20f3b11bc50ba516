"""Convolutions by oneDNN on a CPU, as primitives of JAX.

A convolution is linear in the image and in the kernel. Its two transposes, the gradients for the
image and for the kernel, are linear in both of their operands too, and the transposes of all three
are among the three: so they have derivatives of every order, forwards and backwards. Where XLA
compiles for something other than a CPU, each is lowered to XLA's own convolution.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from flax_vision.ops import onednn_library
from flax_vision.ops.padding import Pairs, output_size


def takes(x: jax.Array, kernel: jax.Array) -> bool:
    """Whether oneDNN can have the convolution of these operands, and is there."""
    is_single = x.dtype == kernel.dtype == np.float32
    return is_single and x.size > 0 and kernel.size > 0 and onednn_library.absence() is None


def convolution(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, stride: int, padding: Pairs
) -> jax.Array:
    """Returns the cross-correlation of images with kernels.

    Args:
      x: float32 [N, H, W, C].
      kernel: float32 [height, width, C, K].
      bias: float32 [K], added to every pixel; or None.
      stride: between two windows, in pixels.
      padding: zeros above and below, left and right of the image.

    Returns:
      float32 [N, H', W', K].
    """
    if kernel.shape[:2] == (1, 1) and stride > 1:
        # oneDNN 3.2 writes beyond its buffers in the gradient of a 1x1 convolution with a stride.
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))[:, ::stride, ::stride]
        stride, padding = 1, ((0, 0), (0, 0))
    height, width = (
        output_size(size, window, stride, pair)
        for size, window, pair in zip(x.shape[1:3], kernel.shape[:2], padding, strict=True)
    )
    shape = (x.shape[0], height, width, kernel.shape[3])
    geometry = {"shape": shape, "stride": stride, "padding": padding}
    if bias is None:
        return _bind(convolution_p, x, kernel, **geometry)
    return _bind(convolution_with_bias_p, x, kernel, bias, **geometry)


def _convolution(
    x: jax.Array, kernel: jax.Array, *, shape: tuple[int, ...], stride: int, padding: Pairs
) -> jax.Array:
    layouts = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=layouts)


def _convolution_with_bias(
    x: jax.Array, kernel: jax.Array, bias: jax.Array, **geometry: Any
) -> jax.Array:
    return _convolution(x, kernel, **geometry) + bias.reshape(1, 1, 1, -1)


def _input_gradient(
    y: jax.Array, kernel: jax.Array, *, shape: tuple[int, ...], **geometry: Any
) -> jax.Array:
    def forward(x: jax.Array) -> jax.Array:
        return _convolution(x, kernel, shape=y.shape, **geometry)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, y.dtype))(y)[0]


def _kernel_gradient(
    x: jax.Array, y: jax.Array, *, shape: tuple[int, ...], **geometry: Any
) -> jax.Array:
    def forward(kernel: jax.Array) -> jax.Array:
        return _convolution(x, kernel, shape=y.shape, **geometry)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, y.dtype))(y)[0]


def _primitive(target: str, plain: Callable[..., jax.Array]) -> Primitive:
    """Makes a primitive whose result has the shape of its parameter `shape`.

    Args:
      target: the handler that computes it on a CPU.
      plain: the same by XLA.
    """
    primitive = Primitive(target)

    def abstract(first: Any, *others: Any, shape: tuple[int, ...], **geometry: Any) -> Any:
        return first.update(shape=shape, weak_type=False)

    def lower(ctx: Any, *operands: Any, shape: Any, stride: int, padding: Pairs) -> Any:
        pads = np.asarray(padding, np.int64).ravel()
        rule = jax.ffi.ffi_lowering(target)
        return rule(ctx, *operands, stride=np.int64(stride), padding=pads)

    def batch(operands: Any, axes: Any, **geometry: Any) -> tuple[jax.Array, int]:
        return jax.vmap(partial(plain, **geometry), in_axes=axes)(*operands), 0

    primitive.def_abstract_eval(abstract)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("shape", "stride", "padding")))
    mlir.register_lowering(primitive, mlir.lower_fun(plain, multiple_results=False))
    mlir.register_lowering(primitive, lower, platform="cpu")
    batching.primitive_batchers[primitive] = batch
    return primitive


def _bind(primitive: Primitive, *operands: jax.Array, **geometry: Any) -> jax.Array:
    """Binds the primitive; in a shard_map, to operands that vary over the same axes of the mesh."""
    if jax.sharding.get_abstract_mesh().manual_axes:
        varying = [jax.typeof(operand).mat.varying for operand in operands]
        union = frozenset().union(*varying)
        operands = tuple(
            lax.pcast(operand, tuple(union - axes), to="varying") if union - axes else operand
            for operand, axes in zip(operands, varying, strict=True)
        )
    return primitive.bind(*operands, **geometry)


def _define_transposes(
    primitive: Primitive, for_left: tuple[Primitive, bool], for_right: tuple[Primitive, bool]
) -> None:
    """Makes it bilinear; of the operand that is asked for the shape alone is known."""

    def rule(
        of: tuple[Primitive, bool], cotangent: Any, known: Any, asked: Any, **geometry: Any
    ) -> Any:
        transpose, cotangent_first = of
        operands = (cotangent, known) if cotangent_first else (known, cotangent)
        return _bind(transpose, *operands, **geometry | {"shape": asked.aval.shape})

    ad.defbilinear(
        primitive,
        lambda ct, left, right, **geometry: rule(for_left, ct, right, left, **geometry),
        lambda ct, left, right, **geometry: rule(for_right, ct, left, right, **geometry),
    )


convolution_p = _primitive("flax_vision_convolution", _convolution)
convolution_with_bias_p = _primitive("flax_vision_convolution_with_bias", _convolution_with_bias)
input_gradient_p = _primitive("flax_vision_convolution_input_gradient", _input_gradient)
kernel_gradient_p = _primitive("flax_vision_convolution_kernel_gradient", _kernel_gradient)

# Its derivative along each operand, which is linear.
ad.defjvp(
    convolution_with_bias_p,
    lambda dx, x, kernel, bias, **geometry: _bind(convolution_p, dx, kernel, **geometry),
    lambda dk, x, kernel, bias, **geometry: _bind(convolution_p, x, dk, **geometry),
    lambda db, x, kernel, bias, shape, **geometry: lax.broadcast_in_dim(db, shape, (3,)),
)

# Of each, the transpose for its left operand and for its right, and whether the cotangent of the
# result is the left operand there.
_define_transposes(convolution_p, (input_gradient_p, True), (kernel_gradient_p, False))
_define_transposes(input_gradient_p, (convolution_p, True), (kernel_gradient_p, True))
_define_transposes(kernel_gradient_p, (input_gradient_p, False), (convolution_p, False))
