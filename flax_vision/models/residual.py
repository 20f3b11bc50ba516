"""The building blocks of figure 5 in ResNet's paper."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from flax_vision.models.conv_bn_relu import conv_bn_relu
from flax_vision.models.layers import BatchNorm, Conv
from flax_vision.ops.convolution import apply_epilogue

Shortcut = Literal["A", "B", "C", "none"]


class Block(nn.Module):
    """The shortcut that both building blocks of figure 5 share.

    Attributes:
      width: Number of kernels of the 3x3 convolutions.
      stride: Stride of the block.
      shortcut: A, zeros for new channels; B, a projection where the shape changes; C, always;
        `"none"`, no shortcut.
      conv: Constructor of a convolution.
      norm: Constructor of a batch normalization.
      drop_path: Constructor of the layer that drops the residual function; None for none.
    """

    width: int
    stride: int
    shortcut: Shortcut
    conv: Callable[..., Conv]
    norm: Callable[..., BatchNorm]
    drop_path: Callable[[], nn.Dropout] | None = None

    def _join(self, y: Array, conv: Conv, norm: BatchNorm, shortcut: Array | None) -> Array:
        """Applies the last convolution, adds the shortcut if there is one, and applies the ReLU."""
        if self.drop_path is None:
            return conv_bn_relu(y, conv, norm, residual=shortcut)
        y = self.drop_path()(conv_bn_relu(y, conv, norm, relu=False))
        return apply_epilogue(y, None, shortcut, relu=True)

    def _shortcut(self, x: Array, channels: int) -> Array | None:
        if self.shortcut == "none":
            return None
        changes = self.stride > 1 or x.shape[-1] != channels
        if self.shortcut == "C" or (self.shortcut == "B" and changes):
            projection = self.conv(channels, 1, stride=self.stride, name="projection")
            return conv_bn_relu(x, projection, self.norm(name="projection_bn"), relu=False)
        x = x[:, :: self.stride, :: self.stride]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])))


class BasicBlock(Block):
    """Two 3x3 convolutions (figure 5, left)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        conv1 = self.conv(self.width, 3, stride=self.stride, padding=1, name="conv1")
        y = conv_bn_relu(x, conv1, self.norm(name="bn1"))
        conv2 = self.conv(self.width, 3, padding=1, name="conv2")
        shortcut = self._shortcut(x, self.width)
        return self._join(y, conv2, self.norm(name="bn2"), shortcut)


class Bottleneck(Block):
    """1x1, 3x3 and 1x1 convolutions, the last with four times the kernels (figure 5, right).

    Attributes:
      stride_in: Convolution with the stride: `"1x1"` for the first, or `"3x3"`.
    """

    stride_in: str = "1x1"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        first, second = (self.stride, 1) if self.stride_in == "1x1" else (1, self.stride)
        conv1 = self.conv(self.width, 1, stride=first, name="conv1")
        y = conv_bn_relu(x, conv1, self.norm(name="bn1"))
        conv2 = self.conv(self.width, 3, stride=second, padding=1, name="conv2")
        y = conv_bn_relu(y, conv2, self.norm(name="bn2"))
        conv3 = self.conv(4 * self.width, 1, name="conv3")
        shortcut = self._shortcut(x, 4 * self.width)
        return self._join(y, conv3, self.norm(name="bn3"), shortcut)
