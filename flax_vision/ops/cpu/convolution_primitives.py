"""Convolutions as JAX primitives, which a CPU computes by oneDNN or by the forms of `dispatch`.

A convolution is linear in the images and in the kernel. Its transposes, the gradients for either,
are bilinear too, and the transposes of all three are among the three. So they have derivatives of
every order, forward and backward. All other backends get XLA's convolution: see `primitives`.
"""

from collections.abc import Callable
from functools import partial, reduce
from operator import add
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad

from flax_vision.ops.convolution import apply_epilogue
from flax_vision.ops.cpu import dispatch, xla_convolution
from flax_vision.ops.cpu.primitives import bind, make_primitive
from flax_vision.ops.cpu.xla_convolution import Geometry

_Function = Callable[..., Array]
_Transpose = tuple[Primitive, bool]


def conv_onednn(
    x: Array,
    kernel: Array,
    geometry: Geometry,
    scale: Array | None = None,
    bias: Array | None = None,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """Computes relu(scale * conv(x, kernel) + bias + residual) in float32.

    Args:
      x: Images [N, H, W, C].
      kernel: Kernels [height, width, C, K].
      geometry: Geometry of the convolution; its shape is [N, H', W', K].
      scale: Factor [K] of each output channel.
      bias: Summand [K] of each output channel.
      residual: Maps [N, H', W', K] to add.
      relu: Applies a ReLU at the end.
    """
    shape, stride, padding = geometry
    if kernel.shape[:2] == (1, 1) and stride > 1:
        # oneDNN 3.2 writes beyond its buffers in the gradient of a 1x1 convolution with a stride.
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))[:, ::stride, ::stride]
        geometry = Geometry(shape, 1, ((0, 0), (0, 0)))
    if scale is not None:
        bias = jnp.stack([scale, jnp.zeros_like(scale) if bias is None else bias])
    if bias is None:
        y = bind(conv_p, x, kernel, geometry=geometry)
        return apply_epilogue(y, None, residual, relu)
    others = (bias,) if residual is None else (bias, residual)
    return bind(conv_epilogue_p, x, kernel, *others, geometry=geometry, relu=relu)


def _conv_with_epilogue(
    conv: _Function,
    scales_kernel: bool,
    x: Array,
    kernel: Array,
    affine: Array,
    residual: Array | None = None,
    *,
    geometry: Geometry,
    relu: bool,
) -> Array:
    """Computes a convolution and its epilogue.

    The operand `affine` is [K], the summands of the channels, or [2, K], factors and summands.

    Args:
      conv: Convolution of images with a kernel.
      scales_kernel: Multiplies the kernel by the factors, instead of the maps. That is faster where
        the convolution computes the epilogue in its own pass, as XLA's does on a GPU. Where another
        pass over the maps follows anyway, the factors are free there, but not on a large kernel.
      x: Images [N, H, W, C].
      kernel: Kernels [height, width, C, K].
      affine: Factors and summands of the channels, or summands only.
      residual: Maps [N, H', W', K] to add.
      geometry: Geometry of the convolution.
      relu: Applies a ReLU at the end.
    """
    if scales_kernel:
        y = conv(x, _scaled(kernel, affine), geometry)
    else:
        y = _scaled(conv(x, kernel, geometry), affine)
    return apply_epilogue(y, _shift(affine), residual, relu)


def _scaled(x: Array, affine: Array) -> Array:
    """Multiplies the last axis of maps or of a kernel by the factors in `affine`, if it has any."""
    return x * affine[0].reshape(1, 1, 1, -1) if affine.ndim == 2 else x


def _shift(affine: Array) -> Array:
    """Returns the summands [K] in `affine`."""
    return affine[1] if affine.ndim == 2 else affine


conv_p = make_primitive(
    "flax_vision_convolution",
    xla_convolution.conv_xla,
    (True, False),
    jax_form=dispatch.conv_jax,
    beats_onednn=dispatch.beats_onednn,
    relu=False,
)
conv_epilogue_p = make_primitive(
    "flax_vision_convolution_epilogue",
    partial(_conv_with_epilogue, xla_convolution.conv_xla, True),
    (True, False, False, True),
    handler="flax_vision_convolution",
    jax_form=partial(_conv_with_epilogue, dispatch.conv_jax, False),
    beats_onednn=dispatch.beats_onednn,
)
input_gradient_p = make_primitive(
    "flax_vision_convolution_input_gradient",
    xla_convolution.input_gradient_xla,
    (True, False),
    jax_form=dispatch.input_gradient_jax,
    beats_onednn=dispatch.input_gradient_beats_onednn,
)
kernel_gradient_p = make_primitive(
    "flax_vision_convolution_kernel_gradient",
    xla_convolution.kernel_gradient_xla,
    (True, True),
    jax_form=dispatch.kernel_gradient_jax,
    beats_onednn=dispatch.kernel_gradient_beats_onednn,
    is_sum=True,
)


def _conv_epilogue_jvp(
    primals: Any, tangents: Any, *, geometry: Geometry, relu: bool
) -> tuple[Array, Any]:
    """Adds the derivatives along all operands, where the ReLU is positive."""
    y = bind(conv_epilogue_p, *primals, geometry=geometry, relu=relu)
    if relu:
        # XLA would compare the input of the ReLU, and so keep it beside the result.
        y = lax.optimization_barrier(y)
    x, kernel, affine, *_ = primals
    conv = partial(bind, conv_p, geometry=geometry)

    def along_affine(daffine: Array) -> Array:
        shift = lax.broadcast_in_dim(_shift(daffine), geometry.shape, (3,))
        return shift if affine.ndim == 1 else shift + conv(x, _scaled(kernel, daffine))

    along = (
        lambda dx: conv(dx, _scaled(kernel, affine)),
        lambda dkernel: conv(x, _scaled(dkernel, affine)),
        along_affine,
        lambda dresidual: dresidual,
    )
    pairs = zip(along, tangents, strict=False)  # the residual may be absent
    terms = [linear(tangent) for linear, tangent in pairs if type(tangent) is not ad.Zero]
    dy = reduce(add, terms)
    return y, jnp.where(y > 0, dy, 0) if relu else dy


ad.primitive_jvps[conv_epilogue_p] = _conv_epilogue_jvp


def _define_transposes(primitive: Primitive, for_left: _Transpose, for_right: _Transpose) -> None:
    """Makes a primitive bilinear.

    Args:
      primitive: Primitive of two operands.
      for_left: Transpose for the left operand, and whether its left operand is the cotangent.
      for_right: The same for the right operand.
    """

    def apply(transpose: _Transpose, ct: Any, other: Any, missing: Any, geometry: Any) -> Any:
        operands = (ct, other) if transpose[1] else (other, ct)
        return bind(transpose[0], *operands, geometry=geometry._replace(shape=missing.aval.shape))

    ad.defbilinear(
        primitive,
        lambda ct, left, right, geometry: apply(for_left, ct, right, left, geometry),
        lambda ct, left, right, geometry: apply(for_right, ct, left, right, geometry),
    )


_define_transposes(conv_p, (input_gradient_p, True), (kernel_gradient_p, False))
_define_transposes(input_gradient_p, (conv_p, True), (kernel_gradient_p, True))
_define_transposes(kernel_gradient_p, (input_gradient_p, False), (conv_p, False))
