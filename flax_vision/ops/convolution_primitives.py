"""Convolutions as primitives of JAX, lowered to what is fast on a CPU.

A convolution is linear in the image and in the kernel. Its two transposes, the gradients for the
image and for the kernel, are linear in both of their operands too, and the transposes of all three
are among the three: so they have derivatives of every order, forwards and backwards. On a CPU each
is lowered to oneDNN if that is there, or else to the form of `cpu_convolution`; on everything else
to XLA's own convolution. What XLA cannot look into it cannot divide among devices either, so on a
CPU each is divided by hand: see `batch_partitioning`.
"""

import functools
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from flax_vision.ops import batch_partitioning, cpu_convolution, onednn_library, xla_convolution
from flax_vision.ops.xla_convolution import Geometry

_Function = Callable[..., jax.Array]


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None,
    geometry: Geometry,
    added: jax.Array | None = None,
    rectify: bool = False,
) -> jax.Array:
    """Returns the cross-correlation of images with kernels, with what follows it.

    Args:
      x: float32 [N, H, W, C].
      kernel: float32 [height, width, C, K].
      bias: float32 [K], added to every pixel; or None.
      geometry: its shape is [N, H', W', K].
      added: float32 [N, H', W', K], added besides; or None.
      rectify: makes negative numbers 0, at the end.
    """
    shape, stride, padding = geometry
    if kernel.shape[:2] == (1, 1) and stride > 1:
        # oneDNN 3.2 writes beyond its buffers in the gradient of a 1x1 convolution with a stride.
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))[:, ::stride, ::stride]
        geometry = Geometry(shape, 1, ((0, 0), (0, 0)))
    if bias is None:
        y = _bind(convolution_p, x, kernel, geometry=geometry)
        return xla_convolution.finish(y, bias, added, rectify)
    others = (bias,) if added is None else (bias, added)
    return _bind(finished_p, x, kernel, *others, geometry=geometry, rectify=rectify)


def _primitive(
    name: str,
    target: str,
    plain: _Function,
    fast: _Function,
    have_images: tuple[bool, ...],
    beats_onednn: Callable[..., bool] | None = None,
    **attributes: Any,
) -> Primitive:
    """Makes a primitive whose result has the shape of its parameter `geometry`.

    Args:
      name: of the primitive.
      target: the handler of oneDNN that computes it.
      plain: the same by XLA.
      fast: the same in the form that is fast on a CPU without oneDNN.
      have_images: of each operand, whether its first axis is that of the images.
      beats_onednn: whether that is faster than oneDNN, from the shape of the second operand and
        the geometry; None for never.
      **attributes: of the handler, where they are not parameters of the primitive.
    """
    primitive = Primitive(name)

    def abstract(first: Any, *others: Any, geometry: Geometry, **parameters: Any) -> Any:
        return first.update(shape=geometry.shape, weak_type=False)

    def lower(ctx: Any, *operands: Any, geometry: Geometry, **parameters: Any) -> Any:
        bind, images = partial(_bind, primitive), ctx.avals_in[0].shape[0]
        divided = batch_partitioning.divided(bind, have_images, geometry, images)
        if divided is not None:
            rule = mlir.lower_fun(divided, multiple_results=False)
            return rule(ctx, *operands, **parameters)
        right = ctx.avals_in[1].shape
        is_slower = beats_onednn is not None and beats_onednn(right, geometry)
        if is_slower or onednn_library.absence() is not None:
            rule = mlir.lower_fun(fast, multiple_results=False)
            return rule(ctx, *operands, geometry=geometry, **parameters)
        pads = np.asarray(geometry.padding, np.int64).ravel()
        rule = jax.ffi.ffi_lowering(target)
        settings = attributes | parameters
        return rule(ctx, *operands, stride=np.int64(geometry.stride), padding=pads, **settings)

    def batch(operands: Any, axes: Any, **parameters: Any) -> tuple[jax.Array, int]:
        return jax.vmap(partial(plain, **parameters), in_axes=axes)(*operands), 0

    primitive.def_abstract_eval(abstract)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("geometry", "rectify")))
    mlir.register_lowering(primitive, mlir.lower_fun(plain, multiple_results=False))
    mlir.register_lowering(primitive, lower, platform="cpu")
    batching.primitive_batchers[primitive] = batch
    return primitive


def _bind(primitive: Primitive, *operands: jax.Array, **parameters: Any) -> jax.Array:
    """Binds the primitive; in a shard_map, to operands that vary over the same axes of the mesh."""
    if jax.sharding.get_abstract_mesh().manual_axes:
        varying = [jax.typeof(operand).mat.varying for operand in operands]
        union = frozenset().union(*varying)
        operands = tuple(
            lax.pcast(operand, tuple(union - axes), to="varying") if union - axes else operand
            for operand, axes in zip(operands, varying, strict=True)
        )
    return primitive.bind(*operands, **parameters)


def _define_transposes(
    primitive: Primitive, for_left: tuple[Primitive, bool], for_right: tuple[Primitive, bool]
) -> None:
    """Makes it bilinear; of the operand that is asked for the shape alone is known."""

    def rule(
        of: tuple[Primitive, bool], cotangent: Any, known: Any, asked: Any, geometry: Geometry
    ) -> Any:
        transpose, cotangent_first = of
        operands = (cotangent, known) if cotangent_first else (known, cotangent)
        return _bind(transpose, *operands, geometry=geometry._replace(shape=asked.aval.shape))

    ad.defbilinear(
        primitive,
        lambda ct, left, right, geometry: rule(for_left, ct, right, left, geometry),
        lambda ct, left, right, geometry: rule(for_right, ct, left, right, geometry),
    )


def _finished(convolution: _Function) -> _Function:
    """Makes a convolution one with a bias, maps that are added, and a ReLU."""

    def finished(
        x: jax.Array,
        kernel: jax.Array,
        bias: jax.Array,
        added: jax.Array | None = None,
        *,
        geometry: Geometry,
        rectify: bool,
    ) -> jax.Array:
        return xla_convolution.finish(convolution(x, kernel, geometry), bias, added, rectify)

    return finished


convolution_p = _primitive(
    "flax_vision_convolution",
    "flax_vision_convolution",
    xla_convolution.convolution,
    cpu_convolution.convolution,
    (True, False),
    cpu_convolution.beats_onednn,
    rectify=False,
)
finished_p = _primitive(
    "flax_vision_finished_convolution",
    "flax_vision_convolution",
    _finished(xla_convolution.convolution),
    _finished(cpu_convolution.convolution),
    (True, False, False, True),
    cpu_convolution.beats_onednn,
)
input_gradient_p = _primitive(
    "flax_vision_convolution_input_gradient",
    "flax_vision_convolution_input_gradient",
    xla_convolution.input_gradient,
    cpu_convolution.input_gradient,
    (True, False),
)
kernel_gradient_p = _primitive(
    "flax_vision_convolution_kernel_gradient",
    "flax_vision_convolution_kernel_gradient",
    xla_convolution.kernel_gradient,
    cpu_convolution.kernel_gradient,
    (True, True),
    cpu_convolution.kernel_gradient_beats_onednn,
)


def _derivative_of_finished(
    primals: Any, tangents: Any, *, geometry: Geometry, rectify: bool
) -> tuple[jax.Array, Any]:
    """A sum of what is linear in each operand, where the ReLU lets it through."""
    y = _bind(finished_p, *primals, geometry=geometry, rectify=rectify)
    x, kernel, *_ = primals
    along = (
        lambda dx: _bind(convolution_p, dx, kernel, geometry=geometry),
        lambda dkernel: _bind(convolution_p, x, dkernel, geometry=geometry),
        lambda dbias: lax.broadcast_in_dim(dbias, geometry.shape, (3,)),
        lambda dadded: dadded,
    )
    pairs = zip(along, tangents, strict=False)  # there may be no maps that are added
    terms = [linear(tangent) for linear, tangent in pairs if type(tangent) is not ad.Zero]
    dy = functools.reduce(operator.add, terms)
    return y, jnp.where(y > 0, dy, 0) if rectify else dy


ad.primitive_jvps[finished_p] = _derivative_of_finished

# Of each, the transpose for its left operand and for its right, and whether the cotangent of the
# result is the left operand there.
_define_transposes(convolution_p, (input_gradient_p, True), (kernel_gradient_p, False))
_define_transposes(input_gradient_p, (convolution_p, True), (kernel_gradient_p, True))
_define_transposes(kernel_gradient_p, (input_gradient_p, False), (convolution_p, False))
