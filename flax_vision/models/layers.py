"""Layers that the papers share, and what every network does with its images and outputs."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from flax_vision.ops import pooling
from flax_vision.ops.batch_normalization import batch_statistics, normalize
from flax_vision.ops.convolution import convolution
from flax_vision.ops.padding import Padding
from flax_vision.ops.response_normalization import local_response_normalization

Initializer = Callable[..., jax.Array]
Layer = Callable[..., jax.Array]

normal = nn.initializers.normal
constant = nn.initializers.constant
variance_scaling = nn.initializers.variance_scaling

SCALED_TO_INPUTS: dict[str, Callable[..., Initializer]] = {
    # N(0, 2/n), n the inputs of a unit: He et al., "Delving Deep into Rectifiers", 2015, eq. 10.
    "he": partial(variance_scaling, 2.0, "fan_in", "normal"),
    # U(-a, a), a = sqrt(6 / (inputs + outputs)): Glorot and Bengio, 2010, eq. 16.
    "glorot": partial(variance_scaling, 1.0, "fan_avg", "uniform"),
}


class Conv(nn.Module):
    """A convolution with square kernels: kernel [size, size, C / groups, features], bias.

    Attributes:
      features: kernels, and so channels of the output.
      size: height and width of each kernel.
      stride: between two windows, in pixels.
      padding: zeros around the image, see `ops.padding`.
      groups: into which the channels are divided.
      use_bias: adds a number to each channel.
      relu: makes negative outputs 0: the layer's ReLU.
    """

    features: int
    size: int
    stride: int = 1
    padding: Padding = "VALID"
    groups: int = 1
    use_bias: bool = True
    relu: bool = False
    kernel_init: Initializer = normal(0.01)
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return convolution(
            x, kernel, self.stride, self.padding, self.groups, bias=bias, relu=self.relu
        )


class FullyConnected(nn.Module):
    """A layer whose units see the whole of the maps: kernel [H, W, C, features], bias.

    Its first application fixes the height and width of the maps. It is the convolution of VGG's
    section 3.2, so that on larger maps the same parameters give a map of outputs.

    Attributes:
      features: units.
      fully_convolutional: allows maps that are larger than the kernel.
    """

    features: int
    fully_convolutional: bool = False
    kernel_init: Initializer = normal(0.01)
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = map_size(self, x, self.fully_convolutional)
        shape = (*size, x.shape[-1], self.features)
        kernel = self.param("kernel", as_matrix(self.kernel_init), shape, jnp.float32)
        bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return convolution(x, kernel, bias=bias)


class MaxPool(nn.Module):
    """The largest value in each window: see `ops.pooling`.

    Attributes:
      size: height and width of the window.
      stride: between two windows, in pixels.
      padding: of the image; what is padded never wins.
      each: makes the layer one of columns, see `models.columns`; None where there are none.
    """

    size: int
    stride: int
    padding: Padding = "VALID"
    each: Callable[[Layer], Layer] | None = None

    def __call__(self, x: jax.Array) -> jax.Array:
        pool = partial(pooling.max_pool, size=self.size, stride=self.stride, padding=self.padding)
        return self.each(pool)(x) if self.each else pool(x)


class AveragePool(nn.Module):
    """The mean of each window, without padding."""

    size: int
    stride: int

    def __call__(self, x: jax.Array) -> jax.Array:
        return pooling.average_pool(x, self.size, self.stride)


class AdaptiveAveragePool(nn.Module):
    """The means of size x size windows that cover the image, as PyTorch spreads them."""

    size: int

    def __call__(self, x: jax.Array) -> jax.Array:
        return pooling.adaptive_average_pool(x, self.size)


class GlobalAveragePool(nn.Module):
    """The mean of each map: [N, H, W, C] to [N, 1, 1, C]."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x.mean(axis=(1, 2), keepdims=True)


class LocalResponseNorm(nn.Module):
    """Division by a power of the sum of squares of five neighboring channels.

    See `ops.response_normalization`.

    Attributes:
      k: constant beside the sum.
      alpha: factor of each term of the sum.
      each: has each column its own sums, see `models.columns`; None for one over all channels.
    """

    k: float = 2.0
    alpha: float = 1e-4
    each: Callable[[Layer], Layer] | None = None

    def __call__(self, x: jax.Array) -> jax.Array:
        norm = partial(local_response_normalization, k=self.k, alpha=self.alpha)
        return self.each(norm)(x) if self.each else norm(x)


class BatchNorm(nn.Module):
    """Batch normalization, computed in float32 at least: see `ops.batch_normalization`.

    The running statistics keep 0.9 of what they were at each step, PyTorch's momentum of 0.1; the
    variance among them is that of the batch, where PyTorch takes n / (n - 1) times that. They stay
    what they are, and are used in training too, where the collection `frozen` has an entry
    `statistics` for the layer.

    Attributes:
      use_running_average: normalizes by the running statistics, instead of by the batch's.
      epsilon: added to the variance.
      momentum: what the running statistics keep of themselves.
      dtype: type of what it returns.
    """

    use_running_average: bool
    epsilon: float = 1e-5
    momentum: float = 0.9
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, channels, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        mean, variance = running_mean.value, running_var.value
        if not self.uses_running_statistics:
            mean, variance = batch_statistics(x)
            if not self.is_initializing():
                running_mean.value = self._updated(running_mean.value, mean)
                running_var.value = self._updated(running_var.value, variance)
        return normalize(x, mean, variance, scale, bias, self.epsilon).astype(self.dtype)

    @property
    def uses_running_statistics(self) -> bool:
        """Whether it normalizes by these, in a test or because it is frozen."""
        return self.use_running_average or self.has_variable("frozen", "statistics")

    def _updated(self, running: jax.Array, new: jax.Array) -> jax.Array:
        return self.momentum * running + (1 - self.momentum) * new


def as_matrix(kernel_init: Initializer) -> Initializer:
    """Returns the initialiser of a fully connected layer's kernel [..., H, W, C, K].

    To it the kernel is a matrix: every unit has H W C inputs, and every input K units, where in a
    convolution it would have H W K.
    """

    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
        *columns, height, width, channels, units = shape
        matrix = (*columns, height * width * channels, units)
        return kernel_init(key, matrix, dtype).reshape(shape)

    return init


def map_size(layer: nn.Module, x: jax.Array, fully_convolutional: bool) -> tuple[int, int]:
    """Returns the height and width of the maps that a fully connected layer was initialized for.

    Args:
      layer: has, once it is initialized, a parameter `kernel` [..., H, W, C, K].
      x: [N, H, W, C]; what the layer is applied to, and initialized for.
      fully_convolutional: allows x to be larger.

    Raises:
      ValueError: x has another size than the kernel, or a smaller one where it may be larger.
    """
    now: tuple[int, int] = x.shape[1:3]  # type: ignore[assignment]
    if not layer.has_variable("params", "kernel"):
        return now
    fixed: tuple[int, int] = layer.get_variable("params", "kernel").shape[-4:-2]
    if now == fixed or (fully_convolutional and now[0] >= fixed[0] and now[1] >= fixed[1]):
        return fixed
    way_out = (
        "larger ones to the same network with fully_convolutional=True, which takes the same "
        "parameters"
    )
    raise ValueError(
        f"{layer.name} was initialized for maps of {fixed[0]}x{fixed[1]}, and these images make "
        f"maps of {now[0]}x{now[1]}. Give images of the size that the network was initialized "
        f"for, or {'larger ones' if fully_convolutional else way_out}."
    )


def check_images(images: jax.Array, network: str, smallest: int) -> None:
    """Raises a ValueError unless `images` are floating-point [N, H, W, C] and large enough.

    Args:
      images: what the network was given.
      network: its name, for the message.
      smallest: height and width that it needs.
    """
    given = f"{images.dtype}[{','.join(map(str, images.shape))}]"
    if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"{network} takes floating-point images [N, H, W, C], preprocessed; not {given}."
        )
    if min(images.shape[1:3]) < smallest:
        raise ValueError(f"{network} takes images of at least {smallest}x{smallest}; not {given}.")


def keep(network: nn.Module, name: str, x: jax.Array) -> jax.Array:
    """Returns x, having put it into the collection `intermediates` of the network."""
    network.sow("intermediates", name, x)
    return x
