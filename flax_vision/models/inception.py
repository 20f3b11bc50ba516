"""The inception modules of figure 2 in GoogLeNet's paper."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from flax_vision.models.layers import MaxPool

ConvUnit = Callable[..., Array]
"""Function (maps, kernels, size, name=...): a convolution with its normalization and ReLU."""


class Inception(nn.Module):
    """An inception module with dimension reduction (figure 2b).

    Attributes:
      kernels: Row of table 1.
      large: Height and width of the kernels in the "5x5" branch.
      unit: Convolution with its normalization and ReLU.
    """

    kernels: tuple[int, ...]
    large: int
    unit: ConvUnit

    @nn.compact
    def __call__(self, x: Array) -> Array:
        one, reduce3, three, reduce5, five, projection = self.kernels
        by1 = self.unit(x, one, 1, name="conv1x1")
        by3 = self.unit(x, reduce3, 1, name="conv3x3_reduce")
        by3 = self.unit(by3, three, 3, padding=1, name="conv3x3")
        by5 = self.unit(x, reduce5, 1, name="conv5x5_reduce")
        by5 = self.unit(by5, five, self.large, padding=self.large // 2, name="conv5x5")
        pooled = MaxPool(3, 1, padding=1)(x)
        pooled = self.unit(pooled, projection, 1, name="pool_projection")
        return jnp.concatenate((by1, by3, by5, pooled), axis=-1)


class NaiveInception(nn.Module):
    """An inception module without dimension reduction (figure 2a).

    Its pool keeps all channels, so the channels grow from module to module: 416 and 832 after
    3a and 3b, 1280 to 3344 after 4a to 4e, 4048 and 4944 after 5a and 5b.

    Attributes:
      kernels: Row of table 1; only its counts of 1x1, 3x3 and 5x5 kernels are used.
      large: Height and width of the kernels in the "5x5" branch.
      unit: Convolution with its normalization and ReLU.
    """

    kernels: tuple[int, ...]
    large: int
    unit: ConvUnit

    @nn.compact
    def __call__(self, x: Array) -> Array:
        one, _, three, _, five, _ = self.kernels
        by1 = self.unit(x, one, 1, name="conv1x1")
        by3 = self.unit(x, three, 3, padding=1, name="conv3x3")
        by5 = self.unit(x, five, self.large, padding=self.large // 2, name="conv5x5")
        return jnp.concatenate((by1, by3, by5, MaxPool(3, 1, padding=1)(x)), axis=-1)
