"""Layers that the papers share, and helpers for a model's inputs and outputs."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from flax_vision.ops import pooling
from flax_vision.ops.convolution import conv
from flax_vision.ops.normalization import batch_statistics, local_response_norm, normalize
from flax_vision.ops.padding import Padding, padding_pairs

Initializer = Callable[..., Array]
Layer = Callable[..., Array]

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
      features: Number of kernels, and of output channels.
      size: Height and width of each kernel.
      stride: Distance between two windows, in pixels.
      padding: Zeros around the images, see `ops.padding`.
      groups: Number of groups of channels.
      use_bias: Adds a bias to each channel.
      relu: Applies a ReLU at the end.
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
    def __call__(self, x: Array) -> Array:
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return conv(x, kernel, self.stride, self.padding, self.groups, bias=bias, relu=self.relu)


class FullyConnected(nn.Module):
    """A layer whose units see the whole maps: kernel [H, W, C, features], bias.

    Its first application fixes the height and width of the maps. It is the convolution of VGG's
    section 3.2: on larger maps the same parameters give a map of outputs.

    Attributes:
      features: Number of units.
      fully_convolutional: Allows maps larger than the kernel.
    """

    features: int
    fully_convolutional: bool = False
    kernel_init: Initializer = normal(0.01)
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        size = fixed_map_size(self, x, self.fully_convolutional)
        shape = (*size, x.shape[-1], self.features)
        kernel = self.param("kernel", init_as_matrix(self.kernel_init), shape, jnp.float32)
        bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return conv(x, kernel, bias=bias)


class MaxPool(nn.Module):
    """The maximum of each window: see `ops.pooling`.

    Attributes:
      size: Height and width of the window.
      stride: Distance between two windows, in pixels.
      padding: Padding of the images; it never wins.
      map_columns: Function that applies a layer to each column, see `models.columns`.
    """

    size: int
    stride: int
    padding: Padding = "VALID"
    map_columns: Callable[[Layer], Layer] | None = None

    def __call__(self, x: Array) -> Array:
        pool = partial(pooling.max_pool, size=self.size, stride=self.stride, padding=self.padding)
        return self.map_columns(pool)(x) if self.map_columns else pool(x)


class AveragePool(nn.Module):
    """The mean of each window, without padding.

    Attributes:
      size: Height and width of the window.
      stride: Distance between two windows, in pixels.
      ceil: Whether windows may extend over the right and bottom edges. They average the pixels
        inside the image, as in cuda-convnet, and in PyTorch with `ceil_mode`.
    """

    size: int
    stride: int
    ceil: bool = False

    def __call__(self, x: Array) -> Array:
        pool = partial(pooling.average_pool, size=self.size, stride=self.stride)
        if not self.ceil:
            return pool(x)
        pads = ((0, 0), *padding_pairs("CEIL", x.shape, (self.size,) * 2, self.stride), (0, 0))
        return pool(jnp.pad(x, pads)) / pool(jnp.pad(jnp.ones_like(x[:1, ..., :1]), pads))


class AdaptiveAveragePool(nn.Module):
    """The means of size x size windows that cover the images, spread as in PyTorch."""

    size: int

    def __call__(self, x: Array) -> Array:
        return pooling.adaptive_average_pool(x, self.size)


class GlobalAveragePool(nn.Module):
    """The mean of each map: [N, H, W, C] to [N, 1, 1, C]."""

    def __call__(self, x: Array) -> Array:
        return x.mean(axis=(1, 2), keepdims=True)


class LocalResponseNorm(nn.Module):
    """Local response normalization over five neighboring channels: see `ops.normalization`.

    Attributes:
      k: Constant beside the sum.
      alpha: Factor of each term of the sum.
      map_columns: Function that applies a layer to each column, see `models.columns`; None sums
        over the channels of all columns.
    """

    k: float = 2.0
    alpha: float = 1e-4
    map_columns: Callable[[Layer], Layer] | None = None

    def __call__(self, x: Array) -> Array:
        norm = partial(local_response_norm, k=self.k, alpha=self.alpha)
        return self.map_columns(norm)(x) if self.map_columns else norm(x)


class BatchNorm(nn.Module):
    """Batch normalization, computed in float32 at least: see `ops.normalization`.

    The running statistics keep 0.9 of their value at each step, as PyTorch's do with momentum 0.1.
    Their variance is the batch's, where PyTorch takes n / (n - 1) of it. A layer with an entry
    `statistics` in the collection `frozen` does not update them, and uses them in training too.

    Attributes:
      use_running_average: Normalizes by the running statistics, instead of the batch's.
      epsilon: Summand of the variance.
      momentum: Share of the running statistics that each step keeps.
      dtype: Type of the result.
    """

    use_running_average: bool
    epsilon: float = 1e-5
    momentum: float = 0.9
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, channels, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        mean, variance = running_mean.value, running_var.value
        if not self.uses_running_statistics:
            mean, variance = batch_statistics(x)
            if not self.is_initializing():
                running_mean.value = self._update(running_mean.value, mean)
                running_var.value = self._update(running_var.value, variance)
        return normalize(x, mean, variance, scale, bias, self.epsilon).astype(self.dtype)

    @property
    def uses_running_statistics(self) -> bool:
        """Tells whether the layer normalizes by them: in evaluation, or because it is frozen."""
        return self.use_running_average or self.has_variable("frozen", "statistics")

    def _update(self, running: Array, new: Array) -> Array:
        return self.momentum * running + (1 - self.momentum) * new


def init_as_matrix(kernel_init: Initializer) -> Initializer:
    """Returns the initializer of a fully connected layer's kernel [..., H, W, C, K].

    It initializes a matrix, where each unit has H W C inputs and each input K outputs. As a
    convolution, the kernel would have H W K outputs.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        *columns, height, width, channels, units = shape
        matrix = (*columns, height * width * channels, units)
        return kernel_init(key, matrix, dtype).reshape(shape)

    return init


def fixed_map_size(layer: nn.Module, x: Array, fully_convolutional: bool) -> tuple[int, int]:
    """Returns the height and width of the maps that fixed a fully connected layer's kernel.

    Args:
      layer: Layer with a parameter `kernel` [..., H, W, C, K], once it is initialized.
      x: Maps [N, H, W, C], the layer's input.
      fully_convolutional: Allows larger maps.

    Raises:
      ValueError: The maps have another size, or are smaller where they may be larger.
    """
    height, width = x.shape[1:3]
    if not layer.has_variable("params", "kernel"):
        return height, width
    fixed: tuple[int, int] = layer.get_variable("params", "kernel").shape[-4:-2]
    is_larger = height >= fixed[0] and width >= fixed[1]
    if (height, width) == fixed or (fully_convolutional and is_larger):
        return fixed
    larger = "larger ones" if fully_convolutional else "larger ones with fully_convolutional=True"
    raise ValueError(
        f"{layer.name} was initialized for maps of {fixed[0]}x{fixed[1]}, and these images make "
        f"maps of {height}x{width}; give images of the size at initialization, or {larger}, "
        "which takes the same parameters."
    )


def check_images(images: Array, model: str, min_size: int) -> None:
    """Raises a ValueError unless `images` are floating-point [N, H, W, C] and large enough.

    Args:
      images: Input of the model.
      model: Name of the model, for the message.
      min_size: Smallest height and width.
    """
    given = f"{images.dtype}[{','.join(map(str, images.shape))}]"
    if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"{model} takes floating-point images [N, H, W, C], preprocessed; not {given}."
        )
    if min(images.shape[1:3]) < min_size:
        raise ValueError(f"{model} takes images of at least {min_size}x{min_size}; not {given}.")


def maybe_remat(segment: Callable[..., Array], enabled: bool) -> Callable[..., Array]:
    """Returns a segment of a model, with recomputation in the backward pass if enabled.

    Only the input of the segment is stored. The backward pass recomputes its activations, which
    saves their memory (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016).
    Parameters, outputs and gradients stay the same.

    Args:
      segment: Function of a module and activations that applies layers of the module.
      enabled: Whether to recompute.
    """
    return nn.remat(segment) if enabled else segment


def sow_output(model: nn.Module, name: str, x: Array) -> Array:
    """Stores `x` in the collection `intermediates` of a model, and returns it."""
    model.sow("intermediates", name, x)
    return x
