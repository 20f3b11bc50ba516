"""A convolution by our primitives and by XLA, with the operands and gradients to compare."""

import math

import jax
import numpy as np

from flax_vision.ops.cpu.convolution_primitives import conv_onednn
from flax_vision.ops.cpu.xla_convolution import geometry_of

PADDING = ((1, 2), (0, 1))


def xla(x, kernel, stride=2, padding=PADDING):
    layouts = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=layouts
    )


def ours(x, kernel, stride=2, padding=PADDING, **epilogue):
    geometry = geometry_of(x.shape, kernel.shape, stride, padding)
    return conv_onednn(x, kernel, geometry, **epilogue)


def ours_with_epilogue(x, kernel, affine, residual=None):
    """Applies a bias [K] or a scale and a bias [2, K], perhaps a residual, and the ReLU."""
    scale, bias = (None, *affine.reshape(-1, 5))[-2:]
    return ours(x, kernel, scale=scale, bias=bias, residual=residual, relu=True)


def xla_with_epilogue(x, kernel, affine, *residual):
    *scale, bias = affine.reshape(-1, 1, 1, 1, 5)
    return jax.nn.relu(sum(residual, math.prod(scale, start=xla(x, kernel)) + bias))


def loss(conv):
    """Returns a function of images and kernel with second derivatives that are not constant."""
    return lambda x, kernel: (conv(x, kernel) ** 3).sum()


def gradients(conv):
    return jax.grad(loss(conv), (0, 1))


def assert_close(actual, expected):
    """Compares trees of arrays, each within 1e-5 of its largest number."""
    scale = lambda tree: [np.asarray(x) for x in jax.tree.leaves(tree)]  # noqa: E731
    for one, other in zip(scale(actual), scale(expected), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * abs(other).max())
