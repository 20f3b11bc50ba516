"""LeNet-5, 1998.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11): sections II.B and II.C, appendix A.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from flax_vision.models.layers import Conv, check_images, keep
from flax_vision.models.lenet_codes import digit_codes, random_codes
from flax_vision.models.variant import Variant
from flax_vision.ops.activations import tanh
from flax_vision.ops.convolution import convolution
from flax_vision.ops.pooling import average_pool, sum_pool

FIELD = 32
"""Height and width of the input field (section II.B)."""

# Table I: a row a map of S2, a column a map of C3.
TABLE_I = np.array(
    [
        [1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1],
        [1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1],
        [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1],
        [0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1],
        [0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1],
        [0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1],
    ],
    dtype=bool,
)

# What the network's option `codes` stands for: from a number of classes to [classes, 84].
CODES = {"digits": digit_codes, "random": random_codes}


def scaled_tanh(a: jax.Array) -> jax.Array:
    """Returns f(a) = A tanh(S a) with A = 1.7159 and S = 2/3 (equation 6), so that f(1) is 1."""
    return 1.7159 * jnp.tanh(a * (2 / 3))


# Weights are drawn from U(-b, b), and this is b by F, the inputs of a unit.
BOUNDS: dict[str, Callable[[Any], Any]] = {
    # Appendix A.
    "paper": lambda inputs: 2.4 / inputs,
    # A standard deviation of 1 / sqrt(F), so that sums vary as their inputs do: LeCun, Bottou, Orr
    # and Mueller, "Efficient BackProp", 1998, section 4.6.
    "efficient_backprop": lambda inputs: np.sqrt(3 / inputs),
}


def uniform_fan_in(
    key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike, scheme: str = "paper"
) -> jax.Array:
    """Draws weights from U(-b, b), in the paper b = 2.4/F, F the inputs of a unit (appendix A).

    Args:
      key: a PRNG key.
      shape: kernel shape, the output axis last.
      dtype: type of the weights.
      scheme: a key of `BOUNDS`.
    """
    bound = BOUNDS[scheme](np.prod(shape[:-1]))
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def extend(images: jax.Array, background: float) -> jax.Array:
    """Centres images [N, H, W, C] of at most 32x32 in a 32x32 field of background (section II.B).

    Raises:
      ValueError: images are larger than the field, of another rank, or not floating point.
    """
    check_images(images, "LeNet-5", smallest=1)
    height, width = images.shape[1:3]
    if max(height, width) > FIELD:
        raise ValueError(f"images are {height}x{width}; LeNet-5 takes at most {FIELD}x{FIELD}.")
    top, left = (FIELD - height) // 2, (FIELD - width) // 2
    pads = (0, 0), (top, FIELD - height - top), (left, FIELD - width - left), (0, 0)
    return jnp.pad(images, pads, constant_values=background)


def dense_from_links(links: jax.Array, table: np.ndarray) -> jax.Array:
    """Returns the dense kernel [height, width, inputs, maps] of the links of a connection table.

    Args:
      links: [height, width, links], a row of the table after the other.
      table: bool [inputs, maps].
    """
    kernel = jnp.zeros((*links.shape[:2], *table.shape), links.dtype)
    return kernel.at[:, :, *np.nonzero(table)].set(links)


class Subsampling(nn.Module):
    """S2 and S4: the sum of each 2x2 block, times a coefficient, plus a bias."""

    initialization: str = "paper"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        maps = x.shape[-1]
        bound = BOUNDS[self.initialization](4)  # the inputs of a unit of a map
        init = partial(jax.random.uniform, minval=-bound, maxval=bound)
        coefficient = self.param("coefficient", init, (maps,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (maps,), jnp.float32)
        x, coefficient, bias = nn.dtypes.promote_dtype(x, coefficient, bias, dtype=self.dtype)
        shape = (1, 1, 1, maps)
        return sum_pool(x, 2, 2) * coefficient.reshape(shape) + bias.reshape(shape)


class PartialConvolution(nn.Module):
    """C3: a convolution with kernels only for the links of a connection table (table I).

    Attributes:
      table: bool [input maps, output maps].
      size: height and width of each kernel.
      initialization: a key of `BOUNDS`.
    """

    table: np.ndarray
    size: int = 5
    initialization: str = "paper"
    dtype: DTypeLike = jnp.float32

    def _init_links(self, key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
        inputs = self.table.sum(axis=0)[np.nonzero(self.table)[1]]
        bound = jnp.asarray(BOUNDS[self.initialization](self.size**2 * inputs), dtype)
        return jax.random.uniform(key, shape, dtype, -1, 1) * bound[None, None]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size, maps = (self.size, self.size), self.table.shape[1]
        links = self.param("kernel", self._init_links, (*size, self.table.sum()), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (maps,), jnp.float32)
        x, links, bias = nn.dtypes.promote_dtype(x, links, bias, dtype=self.dtype)
        return convolution(x, dense_from_links(links, self.table), bias=bias)


class RadialBasis(nn.Module):
    """OUT: y_i, the squared Euclidean distance between F6 and the code of class i (equation 7).

    Attributes:
      codes: [classes, 84], every component -1 or 1.
      trainable: makes the codes parameters that start at `codes`.
    """

    codes: np.ndarray
    trainable: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        codes = jnp.asarray(self.codes, jnp.float32)
        if self.trainable:
            codes = self.param("codes", lambda _: codes)
        return jnp.sum((x.astype(jnp.float32)[:, None, :] - codes[None]) ** 2, axis=-1)


class LeNet5(nn.Module):
    """LeNet-5 as published: 60,000 trainable parameters, 340,908 connections.

    Takes floating-point images [N, H, W, C] of at most 32x32, usually 28x28x1, scaled so that
    background is -0.1 and foreground 1.175, and returns float32 logits [N, num_classes]: the
    negated distances of equation 7, so that the largest wins. Intermediates: c1 to f6.

    Attributes:
      num_classes: classes; the paper's hand-drawn codes exist for 10.
      codes: `"digits"` for the 7x12 bitmaps of figure 3, `"random"` for random -1 and 1
        (the alternative that section II.B names), for any number of classes.
      trainable_codes: lets the 84 components of each code learn.
      initialization: of the weights: `"paper"`, or `"efficient_backprop"` for larger ones, see
        `BOUNDS`; biases are 0.
      background: value around the images, up to 32x32.
      dtype: type of the arithmetic; parameters are float32.
    """

    num_classes: int = 10
    codes: Literal["digits", "random"] = "digits"
    trainable_codes: bool = False
    initialization: Literal["paper", "efficient_backprop"] = "paper"
    background: float = -0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no dropout and no statistics in 1998
        scheme = self.initialization
        init = partial(uniform_fan_in, scheme=scheme)
        conv = partial(Conv, size=5, kernel_init=init, dtype=self.dtype)
        subsample = partial(Subsampling, scheme, self.dtype)
        c3 = PartialConvolution(TABLE_I, initialization=scheme, dtype=self.dtype, name="C3")
        x = extend(images, self.background)
        x = keep(self, "c1", scaled_tanh(conv(6, name="C1")(x)))
        x = keep(self, "s2", scaled_tanh(subsample(name="S2")(x)))
        x = keep(self, "c3", scaled_tanh(c3(x)))
        x = keep(self, "s4", scaled_tanh(subsample(name="S4")(x)))
        x = keep(self, "c5", scaled_tanh(conv(120, name="C5")(x)))
        dense = nn.Dense(84, kernel_init=init, dtype=self.dtype, name="F6")
        x = keep(self, "f6", scaled_tanh(dense(x.reshape(x.shape[0], -1))))
        codes = CODES[self.codes](self.num_classes)
        return -RadialBasis(codes, self.trainable_codes, name="OUT")(x)


class LeNet5Modern(nn.Module):
    """LeNet-5 as it is commonly coded: 61,706 parameters.

    C3 sees every map of S2, sub-sampling is average pooling without parameters, units are plain
    tanh and the output is linear. Takes what `LeNet5` takes; returns float32 logits
    [N, num_classes]. Intermediates: c1 to f6.
    """

    num_classes: int = 10
    background: float = -0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        del train
        conv = partial(Conv, size=5, kernel_init=nn.initializers.lecun_normal(), dtype=self.dtype)
        x = extend(images, self.background)
        x = keep(self, "c1", tanh(conv(6, name="C1")(x)))
        x = keep(self, "s2", average_pool(x, 2, 2))
        x = keep(self, "c3", tanh(conv(16, name="C3")(x)))
        x = keep(self, "s4", average_pool(x, 2, 2))
        x = keep(self, "c5", tanh(conv(120, name="C5")(x)))
        x = x.reshape(x.shape[0], -1)
        x = keep(self, "f6", tanh(nn.Dense(84, dtype=self.dtype, name="F6")(x)))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="OUT")(x).astype(jnp.float32)


_IMAGE = (28, 28, 1)

MODELS = {
    "lenet5": Variant(LeNet5, image_shape=_IMAGE),
    "lenet5_modern": Variant(LeNet5Modern, image_shape=_IMAGE),
}
