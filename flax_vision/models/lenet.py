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
from jax import Array
from jax.typing import DTypeLike

from flax_vision.models.layers import Conv, check_images, maybe_remat, sow_output
from flax_vision.models.lenet_codes import digit_codes, random_codes
from flax_vision.models.variant import Variant
from flax_vision.ops.activations import tanh
from flax_vision.ops.convolution import conv
from flax_vision.ops.pooling import average_pool, sum_pool

INPUT_SIZE = 32
"""Height and width of the input field (section II.B)."""

# Table I: one row per map of S2, one column per map of C3.
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

# Values of the option `codes`: functions from the number of classes to codes [classes, 84].
CODES = {"digits": digit_codes, "random": random_codes}


def scaled_tanh(a: Array) -> Array:
    """Computes f(a) = A tanh(S a) with A = 1.7159 and S = 2/3 (equation 6), so f(1) is 1."""
    return 1.7159 * jnp.tanh(a * (2 / 3))


# The bound b of weights from U(-b, b), as a function of F, the inputs of a unit.
BOUNDS: dict[str, Callable[[Any], Any]] = {
    # Appendix A.
    "paper": lambda inputs: 2.4 / inputs,
    # A standard deviation of 1 / sqrt(F), so sums vary as their inputs do: LeCun, Bottou, Orr and
    # Mueller, "Efficient BackProp", 1998, section 4.6.
    "efficient_backprop": lambda inputs: np.sqrt(3 / inputs),
}


def uniform_fan_in(
    key: Array, shape: tuple[int, ...], dtype: DTypeLike, scheme: str = "paper"
) -> Array:
    """Draws weights from U(-b, b); in the paper b = 2.4/F, F the inputs of a unit (appendix A).

    Args:
      key: PRNG key.
      shape: Kernel shape, the output axis last.
      dtype: Type of the weights.
      scheme: Key of `BOUNDS`.
    """
    bound = BOUNDS[scheme](np.prod(shape[:-1]))
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def pad_to_field(
    images: Array, background: float, size: int = INPUT_SIZE, model: str = "LeNet-5"
) -> Array:
    """Centers images in a square field of background (section II.B).

    Args:
      images: Images [N, H, W, C].
      background: Value of the pixels around them.
      size: Height and width of the field.
      model: Name of the model, for messages.

    Raises:
      ValueError: Images are larger than the field, of another rank, or not floating point.
    """
    check_images(images, model, min_size=1)
    height, width = images.shape[1:3]
    if max(height, width) > size:
        raise ValueError(f"images are {height}x{width}; {model} takes at most {size}x{size}.")
    top, left = (size - height) // 2, (size - width) // 2
    pads = (0, 0), (top, size - height - top), (left, size - width - left), (0, 0)
    return jnp.pad(images, pads, constant_values=background)


def dense_from_links(links: Array, table: np.ndarray) -> Array:
    """Returns the dense kernel [height, width, inputs, maps] for the links of a connection table.

    Args:
      links: Weights [height, width, links], in the order of the table's rows.
      table: Connection table, bool [inputs, maps].
    """
    kernel = jnp.zeros((*links.shape[:2], *table.shape), links.dtype)
    return kernel.at[:, :, *np.nonzero(table)].set(links)


class Subsampling(nn.Module):
    """S2 and S4: the sum of each 2x2 block, times a coefficient, plus a bias."""

    initialization: str = "paper"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
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
      table: Connection table, bool [input maps, output maps].
      size: Height and width of each kernel.
      initialization: Key of `BOUNDS`.
    """

    table: np.ndarray
    size: int = 5
    initialization: str = "paper"
    dtype: DTypeLike = jnp.float32

    def _init_links(self, key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        inputs = self.table.sum(axis=0)[np.nonzero(self.table)[1]]
        bound = jnp.asarray(BOUNDS[self.initialization](self.size**2 * inputs), dtype)
        return jax.random.uniform(key, shape, dtype, -1, 1) * bound[None, None]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        size, maps = (self.size, self.size), self.table.shape[1]
        links = self.param("kernel", self._init_links, (*size, self.table.sum()), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (maps,), jnp.float32)
        x, links, bias = nn.dtypes.promote_dtype(x, links, bias, dtype=self.dtype)
        return conv(x, dense_from_links(links, self.table), bias=bias)


class RadialBasis(nn.Module):
    """OUT: the squared Euclidean distance y_i between F6 and the code of class i (equation 7).

    Maps features [..., 84] to distances [..., classes].

    Attributes:
      codes: Codes [classes, 84] of -1 and 1.
      trainable: Makes the codes parameters that start at `codes`.
    """

    codes: np.ndarray
    trainable: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        codes = jnp.asarray(self.codes, jnp.float32)
        if self.trainable:
            codes = self.param("codes", lambda _: codes)
        codes = jnp.expand_dims(codes, tuple(range(x.ndim - 1)))
        return jnp.sum((x.astype(jnp.float32)[..., None, :] - codes) ** 2, axis=-1)


class LeNet5(nn.Module):
    """LeNet-5 as published: 60,000 trainable parameters, 340,908 connections.

    Takes floating-point images [N, H, W, C] of at most 32x32, usually 28x28x1, scaled to -0.1 for
    the background and 1.175 for the foreground. Returns float32 logits [N, num_classes]: the
    negated distances of equation 7, so the largest wins. Intermediates: c1 to f6.

    Attributes:
      num_classes: Number of classes; the paper's hand-drawn codes exist for 10.
      codes: `"digits"` for the 7x12 bitmaps of figure 3; `"random"` for random -1 and 1, the
        alternative that section II.B names, for any number of classes.
      trainable_codes: Trains the 84 components of each code.
      initialization: Initialization of the weights, `"paper"` or `"efficient_backprop"` for larger
        ones, see `BOUNDS`; biases are 0.
      background: Value around the images, up to 32x32.
      remat: Whether the backward pass recomputes C1 to S2, and C3 to S4: less memory, more time.
      dtype: Type of the arithmetic; parameters are float32.
    """

    num_classes: int = 10
    codes: Literal["digits", "random"] = "digits"
    trainable_codes: bool = False
    initialization: Literal["paper", "efficient_backprop"] = "paper"
    background: float = -0.1
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        scheme, sow = self.initialization, partial(sow_output, self)
        init = partial(uniform_fan_in, scheme=scheme)
        conv = partial(Conv, size=5, kernel_init=init, dtype=self.dtype)
        subsample = partial(Subsampling, scheme, self.dtype)
        x = self.field(images)

        def to_s2(model: nn.Module, x: Array) -> Array:
            x = sow_output(model, "c1", scaled_tanh(conv(6, name="C1")(x)))
            return sow_output(model, "s2", scaled_tanh(subsample(name="S2")(x)))

        def to_s4(model: nn.Module, x: Array) -> Array:
            c3 = PartialConvolution(TABLE_I, initialization=scheme, dtype=self.dtype, name="C3")
            x = sow_output(model, "c3", scaled_tanh(c3(x)))
            return sow_output(model, "s4", scaled_tanh(subsample(name="S4")(x)))

        for segment in (to_s2, to_s4):
            x = maybe_remat(segment, self.remat and train)(self, x)
        x = sow("c5", scaled_tanh(conv(120, name="C5")(x)))
        f6 = nn.Dense(84, kernel_init=init, dtype=self.dtype, name="F6")
        x = sow("f6", scaled_tanh(f6(self.positions(x))))
        codes = CODES[self.codes](self.num_classes)
        return -RadialBasis(codes, self.trainable_codes, name="OUT")(x)

    def field(self, images: Array) -> Array:
        """Returns the input field of images."""
        return pad_to_field(images, self.background)

    def positions(self, c5: Array) -> Array:
        """Returns the features [N, 120] of C5 [N, 1, 1, 120], which has one position."""
        return c5.reshape(c5.shape[0], -1)


class LeNet5Modern(nn.Module):
    """LeNet-5 as commonly coded: 61,706 parameters.

    C3 takes every map of S2, sub-sampling is average pooling without parameters, units are plain
    tanh and the output is linear. Takes the images of `LeNet5`, and returns float32 logits
    [N, num_classes]. Intermediates: c1 to f6.
    """

    num_classes: int = 10
    background: float = -0.1
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        sow, dense = partial(sow_output, self), partial(nn.Dense, dtype=self.dtype)
        conv = partial(Conv, size=5, kernel_init=nn.initializers.lecun_normal(), dtype=self.dtype)

        def to_pool(model: nn.Module, x: Array, maps: int, number: int) -> Array:
            x = sow_output(model, f"c{number}", tanh(conv(maps, name=f"C{number}")(x)))
            return sow_output(model, f"s{number + 1}", average_pool(x, 2, 2))

        x = self.field(images)
        for maps, number in ((6, 1), (16, 3)):
            segment = partial(to_pool, maps=maps, number=number)
            x = maybe_remat(segment, self.remat and train)(self, x)
        x = sow("c5", tanh(conv(120, name="C5")(x)))
        x = sow("f6", tanh(dense(84, name="F6")(self.positions(x))))
        return dense(self.num_classes, name="OUT")(x).astype(jnp.float32)

    def field(self, images: Array) -> Array:
        """Returns the input field of images."""
        return pad_to_field(images, self.background)

    def positions(self, c5: Array) -> Array:
        """Returns the features [N, 120] of C5 [N, 1, 1, 120], which has one position."""
        return c5.reshape(c5.shape[0], -1)


MODELS = {
    "lenet5": Variant(LeNet5, image_shape=(28, 28, 1)),
    "lenet5_modern": Variant(LeNet5Modern, image_shape=(28, 28, 1)),
}
