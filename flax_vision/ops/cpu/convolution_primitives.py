"""Convolutions as primitives of JAX, lowered to what is fast on a CPU.

A convolution is linear in the image and in the kernel. Its two transposes, the gradients for the
image and for the kernel, are linear in both of their operands too, and the transposes of all three
are among the three: so they have derivatives of every order, forwards and backwards. On a CPU each
is lowered to oneDNN if that is there, or else to the form of `cpu_convolution`; on everything else
to XLA's own convolution: see `primitives`.
"""

import functools
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad

from flax_vision.ops import epilogue, xla_convolution
from flax_vision.ops.cpu import dispatch
from flax_vision.ops.cpu.primitives import bind, make_primitive
from flax_vision.ops.xla_convolution import Geometry

_Function = Callable[..., jax.Array]


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    factor: jax.Array | None,
    bias: jax.Array | None,
    geometry: Geometry,
    added: jax.Array | None = None,
    relu: bool = False,
) -> jax.Array:
    """Returns the cross-correlation of images with kernels, with what follows it.

    Args:
      x: float32 [N, H, W, C].
      kernel: float32 [height, width, C, K].
      factor: float32 [K], by which each channel of the result is multiplied; or None.
      bias: float32 [K], added to every pixel then; or None.
      geometry: its shape is [N, H', W', K].
      added: float32 [N, H', W', K], added besides; or None.
      relu: makes negative numbers 0, at the end.
    """
    shape, stride, padding = geometry
    if kernel.shape[:2] == (1, 1) and stride > 1:
        # oneDNN 3.2 writes beyond its buffers in the gradient of a 1x1 convolution with a stride.
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))[:, ::stride, ::stride]
        geometry = Geometry(shape, 1, ((0, 0), (0, 0)))
    if factor is not None:
        bias = jnp.stack([factor, jnp.zeros_like(factor) if bias is None else bias])
    if bias is None:
        y = bind(convolution_p, x, kernel, geometry=geometry)
        return epilogue.finish(y, None, added, relu)
    others = (bias,) if added is None else (bias, added)
    return bind(finished_p, x, kernel, *others, geometry=geometry, relu=relu)


def _define_transposes(
    primitive: Primitive, for_left: tuple[Primitive, bool], for_right: tuple[Primitive, bool]
) -> None:
    """Makes it bilinear; of the operand that is asked for the shape alone is known."""

    def rule(
        of: tuple[Primitive, bool], cotangent: Any, known: Any, asked: Any, geometry: Geometry
    ) -> Any:
        transpose, cotangent_first = of
        operands = (cotangent, known) if cotangent_first else (known, cotangent)
        return bind(transpose, *operands, geometry=geometry._replace(shape=asked.aval.shape))

    ad.defbilinear(
        primitive,
        lambda ct, left, right, geometry: rule(for_left, ct, right, left, geometry),
        lambda ct, left, right, geometry: rule(for_right, ct, left, right, geometry),
    )


def _finished(convolution: _Function, scales_kernel: bool) -> _Function:
    """Makes a convolution one with all that may follow it.

    What is affine is [K], added to each channel; or [2, K], by what each is multiplied first, and
    what is added.

    Args:
      convolution: of images with a kernel.
      scales_kernel: has the factors multiply the kernel, not the maps. That is the better where the
        convolution takes the rest into its own pass, as XLA's does on a GPU. Where another pass
        over the maps follows anyway, they cost nothing in it, and on a large kernel they do.
    """

    def finished(
        x: jax.Array,
        kernel: jax.Array,
        affine: jax.Array,
        added: jax.Array | None = None,
        *,
        geometry: Geometry,
        relu: bool,
    ) -> jax.Array:
        if scales_kernel:
            y = convolution(x, _scaled(kernel, affine), geometry)
        else:
            y = _scaled(convolution(x, kernel, geometry), affine)
        return epilogue.finish(y, _shift(affine), added, relu)

    return finished


def _scaled(x: jax.Array, affine: jax.Array) -> jax.Array:
    """Returns maps [N, H', W', K] or a kernel [height, width, C, K] times the factors of [2, K].

    Where what is affine is [K], they are returned as they are.
    """
    return x * affine[0].reshape(1, 1, 1, -1) if affine.ndim == 2 else x


def _shift(affine: jax.Array) -> jax.Array:
    """Returns what is added to each channel: [K]."""
    return affine[1] if affine.ndim == 2 else affine


convolution_p = make_primitive(
    "flax_vision_convolution",
    "flax_vision_convolution",
    xla_convolution.convolution,
    dispatch.convolution,
    (True, False),
    dispatch.beats_onednn,
    relu=False,
)
finished_p = make_primitive(
    "flax_vision_finished_convolution",
    "flax_vision_convolution",
    _finished(xla_convolution.convolution, scales_kernel=True),
    _finished(dispatch.convolution, scales_kernel=False),
    (True, False, False, True),
    dispatch.beats_onednn,
    names=("relu",),
)
input_gradient_p = make_primitive(
    "flax_vision_convolution_input_gradient",
    "flax_vision_convolution_input_gradient",
    xla_convolution.input_gradient,
    dispatch.input_gradient,
    (True, False),
    dispatch.input_gradient_beats_onednn,
)
kernel_gradient_p = make_primitive(
    "flax_vision_convolution_kernel_gradient",
    "flax_vision_convolution_kernel_gradient",
    xla_convolution.kernel_gradient,
    dispatch.kernel_gradient,
    (True, True),
    dispatch.kernel_gradient_beats_onednn,
    is_sum=True,
)


def _derivative_of_finished(
    primals: Any, tangents: Any, *, geometry: Geometry, relu: bool
) -> tuple[jax.Array, Any]:
    """A sum of what is linear in each operand, where the ReLU lets it through."""
    y = bind(finished_p, *primals, geometry=geometry, relu=relu)
    if relu:
        # XLA would compare what the ReLU was given, and so keep it beside the result.
        y = lax.optimization_barrier(y)
    x, kernel, affine, *_ = primals
    convolve = partial(bind, convolution_p, geometry=geometry)

    def along_affine(daffine: jax.Array) -> jax.Array:
        moved = lax.broadcast_in_dim(_shift(daffine), geometry.shape, (3,))
        return moved if affine.ndim == 1 else moved + convolve(x, _scaled(kernel, daffine))

    along = (
        lambda dx: convolve(dx, _scaled(kernel, affine)),
        lambda dkernel: convolve(x, _scaled(dkernel, affine)),
        along_affine,
        lambda dadded: dadded,
    )
    pairs = zip(along, tangents, strict=False)  # there may be no maps that are added
    terms = [linear(tangent) for linear, tangent in pairs if type(tangent) is not ad.Zero]
    dy = functools.reduce(operator.add, terms)
    return y, jnp.where(y > 0, dy, 0) if relu else dy


ad.primitive_jvps[finished_p] = _derivative_of_finished

# Of each, the transpose for its left operand and for its right, and whether the cotangent of the
# result is the left operand there.
_define_transposes(convolution_p, (input_gradient_p, True), (kernel_gradient_p, False))
_define_transposes(input_gradient_p, (convolution_p, True), (kernel_gradient_p, True))
_define_transposes(kernel_gradient_p, (input_gradient_p, False), (convolution_p, False))
