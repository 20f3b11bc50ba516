"""GoogLeNet, 2014.

Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842: section 5, table 1, figure 3.
What the paper leaves open (initialization, constants of the response normalization) follows
Caffe's bvlc_googlenet, for which one of the authors helped.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from flax_vision.models.conv_bn_relu import conv_bn_relu
from flax_vision.models.layers import (
    SCALED_TO_INPUTS,
    AdaptiveAveragePool,
    AveragePool,
    BatchNorm,
    Conv,
    FullyConnected,
    GlobalAveragePool,
    Initializer,
    LocalResponseNorm,
    MaxPool,
    check_images,
    constant,
    keep,
    variance_scaling,
)
from flax_vision.models.variant import Variant
from flax_vision.ops.padding import Padding

_HEADS = {"4a": "aux1", "4d": "aux2"}
"""The auxiliary heads, by the module that each of them sees."""

# Table 1: the kernels of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 and pool projection. Max-pooling
# comes before 3a, 4a and 5a.
TABLE_1 = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

# Of the 7x7 convolution and of the 3x3/2 pools. Figure 3 marks both S, for SAME.
PADDING: dict[str, tuple[Padding, Padding]] = {
    "same": ("SAME", "SAME"),
    "caffe": (3, "CEIL"),
    "symmetric": (3, 1),
}

# Of the kernels, and the biases of the convolutions; those of the linear layers are 0.
INITIALIZATION: dict[str, tuple[Initializer, float]] = {
    "caffe": (variance_scaling(1.0, "fan_in", "uniform"), 0.2),
    "glorot": (SCALED_TO_INPUTS["glorot"](), 0.0),
    "he": (SCALED_TO_INPUTS["he"](), 0.0),
}

ConvUnit = Callable[..., jax.Array]
"""Applies a convolution, what normalizes it, and its ReLU: (maps, kernels, size, name=...)."""


class GoogLeNetVariant(NamedTuple):
    """What tells the networks of this wiring apart.

    Attributes:
      epsilon: of the batch normalization after each convolution; None for none, and local response
        normalization at the two places of figure 3.
      large: height and width of the kernels in the "5x5" branch.
      last_pool: height and width of the windows of the pool before 5a.
      adaptive_heads: the auxiliary heads see 4x4 means of the maps, whatever their size, instead of
        5x5 windows with stride 3.
    """

    epsilon: float | None = None
    large: int = 5
    last_pool: int = 3
    adaptive_heads: bool = False


class Inception(nn.Module):
    """An inception module with dimension reduction (figure 2b).

    Attributes:
      kernels: a row of table 1.
      large: height and width of the kernels in the "5x5" branch.
      unit: applies a convolution with what belongs to it.
    """

    kernels: tuple[int, ...]
    large: int
    unit: ConvUnit

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        one, reduce3, three, reduce5, five, projection = self.kernels
        by1 = self.unit(x, one, 1, name="conv1x1")
        by3 = self.unit(x, reduce3, 1, name="conv3x3_reduce")
        by3 = self.unit(by3, three, 3, padding=1, name="conv3x3")
        by5 = self.unit(x, reduce5, 1, name="conv5x5_reduce")
        by5 = self.unit(by5, five, self.large, padding=self.large // 2, name="conv5x5")
        pooled = MaxPool(3, 1, padding=1)(x)
        pooled = self.unit(pooled, projection, 1, name="pool_projection")
        return jnp.concatenate((by1, by3, by5, pooled), axis=-1)


class AuxiliaryHead(nn.Module):
    """A classifier on the maps of 4a or 4d, for training (section 5).

    Attributes:
      num_classes: classes.
      pool: makes what the maps go through first.
      unit: applies a convolution with what belongs to it.
      dropout: share of the outputs of the fully connected layer that is dropped in training.
      train: whether this is training.
      kernel_init: of the fully connected layers.
      dtype: type of the arithmetic.
    """

    num_classes: int
    pool: Callable[[], nn.Module]
    unit: ConvUnit
    dropout: float
    train: bool
    kernel_init: Initializer
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.unit(self.pool()(x), 128, 1, name="conv")
        # On larger images than the first it is a convolution, as in section 3.2 of the VGG paper.
        fc = FullyConnected(1024, True, self.kernel_init, dtype=self.dtype, name="fc")
        x = nn.relu(fc(x))
        x = nn.Dropout(self.dropout, deterministic=not self.train)(x)
        linear = nn.Dense(
            self.num_classes, kernel_init=self.kernel_init, dtype=self.dtype, name="linear"
        )
        return linear(x).mean(axis=(1, 2)).astype(jnp.float32)


class GoogLeNet(nn.Module):
    """GoogLeNet as published: 6,998,552 parameters, 13,378,280 with both auxiliary heads.

    Takes floating-point images [N, H, W, C], in the paper 224x224 RGB of which the mean was
    subtracted, and returns float32 logits [N, num_classes]. Intermediates: relu1, pool1, norm1,
    relu2, norm2, pool2, 3a to 5b, pool3, pool4, pool5, and the logits of the auxiliary heads, aux1
    and aux2. The heads are computed only where they can be seen: at `init`, in training, or where
    `intermediates` is mutable.

    Attributes:
      num_classes: classes.
      auxiliary_heads: the two classifiers for training, on 4a and 4d.
      stem: the first layer: a convolution, as table 1 and figure 3 have it; or depthwise and
        pointwise, `"separable"`, the only one that has the 2.7K parameters and 34M multiply-adds of
        table 1.
      padding: of the first convolution and the 3x3/2 pools: figure 3's `"same"`; `"caffe"`, 3 and
        rounding up; `"symmetric"`, 3 and 1, as PyTorch users write it.
      conv_bias: adds biases in the convolutions.
      initialization: `"caffe"` for U(-a, a), a = sqrt(3 / inputs), and biases of 0.2; `"glorot"` or
        `"he"` with biases of 0.
      dropout: share of the last layer's inputs that is dropped.
      auxiliary_dropout: the same in the auxiliary heads.
      wiring: what tells `googlenet_bn` and `googlenet_torchvision` apart.
      dtype: type of the arithmetic; parameters and statistics are float32.
    """

    num_classes: int = 1000
    auxiliary_heads: bool = True
    stem: Literal["conv", "separable"] = "conv"
    padding: Literal["same", "caffe", "symmetric"] = "same"
    conv_bias: bool = True
    initialization: Literal["caffe", "glorot", "he"] = "caffe"
    dropout: float = 0.4
    auxiliary_dropout: float = 0.7
    wiring: GoogLeNetVariant = GoogLeNetVariant()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        seen = train or self.is_initializing() or self.is_mutable_collection("intermediates")
        heads = _HEADS if self.auxiliary_heads and seen else {}
        check_images(images, "GoogLeNet", self._smallest(bool(heads)))
        unit = partial(_unit, conv=self._conv(), norm=self._norm(train))
        x = self._stem(images, unit)
        for name, kernels in TABLE_1.items():
            if name == "4a":
                x = keep(self, "pool3", self._pool(x))
            if name == "5a":
                x = keep(self, "pool4", self._pool(x, self.wiring.last_pool))
            inception = Inception(kernels, self.wiring.large, unit, name=f"inception_{name}")
            x = keep(self, name, inception(x))
            if name in heads:
                keep(self, heads[name], self._head(name, unit, train)(x))
        x = keep(self, "pool5", GlobalAveragePool()(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        init, _ = INITIALIZATION[self.initialization]
        linear = nn.Dense(self.num_classes, kernel_init=init, dtype=self.dtype, name="linear")
        return linear(x[:, 0, 0]).astype(jnp.float32)

    def _stem(self, images: jax.Array, unit: ConvUnit) -> jax.Array:
        """The rows of table 1 before 3a."""
        x, size = images, 7
        padding, _ = PADDING[self.padding]
        settings: dict[str, Any] = {"stride": 2, "padding": padding}
        if self.stem == "separable":
            conv, c = self._conv(), images.shape[-1]
            depthwise = conv(8 * c, 7, groups=c, use_bias=False, name="conv1_depthwise", **settings)
            x, size, settings = depthwise(images), 1, {}
        x = keep(self, "relu1", unit(x, 64, size, name="conv1", **settings))
        x = self._normalize("norm1", keep(self, "pool1", self._pool(x)))
        x = unit(x, 64, 1, name="conv2_reduce")
        x = keep(self, "relu2", unit(x, 192, 3, padding=1, name="conv2"))
        return keep(self, "pool2", self._pool(self._normalize("norm2", x)))

    def _head(self, name: str, unit: ConvUnit, train: bool) -> AuxiliaryHead:
        adaptive = self.wiring.adaptive_heads
        pool = partial(AdaptiveAveragePool, 4) if adaptive else partial(AveragePool, 5, 3)
        return AuxiliaryHead(
            self.num_classes,
            pool,
            unit,
            self.auxiliary_dropout,
            train,
            INITIALIZATION[self.initialization][0],
            self.dtype,
            name=f"auxiliary_{name}",
        )

    def _pool(self, x: jax.Array, size: int = 3) -> jax.Array:
        _, padding = PADDING[self.padding]
        return MaxPool(size, 2, padding)(x)

    def _normalize(self, name: str, x: jax.Array) -> jax.Array:
        if self.wiring.epsilon is not None:
            return x
        return keep(self, name, LocalResponseNorm(k=1.0, alpha=1e-4 / 5)(x))

    def _conv(self) -> Callable[..., Conv]:
        init, bias = INITIALIZATION[self.initialization]
        return partial(
            Conv,
            use_bias=self.conv_bias,
            kernel_init=init,
            bias_init=constant(bias),
            dtype=self.dtype,
        )

    def _norm(self, train: bool) -> Callable[..., BatchNorm] | None:
        epsilon = self.wiring.epsilon
        if epsilon is None:
            return None
        return partial(BatchNorm, use_running_average=not train, epsilon=epsilon, dtype=self.dtype)

    def _smallest(self, heads: bool) -> int:
        """The size of images of which each pool has a window left."""
        if self.padding != "caffe":
            return 65 if heads else 1
        if self.wiring.adaptive_heads:
            return 15
        return 79 if heads else 31


def _unit(
    x: jax.Array,
    kernels: int,
    size: int,
    *,
    name: str,
    conv: Callable[..., Conv],
    norm: Callable[..., BatchNorm] | None,
    **settings: Any,
) -> jax.Array:
    layer = conv(kernels, size, relu=norm is None, name=name, **settings)
    return layer(x) if norm is None else conv_bn_relu(x, layer, norm(name=f"{name}_bn"))


def auxiliary_logits(intermediates: Mapping[str, Any]) -> list[jax.Array]:
    """Returns what the auxiliary heads gave, float32 [N, classes] each; none for other networks.

    Args:
      intermediates: the collection of that name, as `apply` returns it.
    """
    return [logits for name in _HEADS.values() for logits in intermediates.get(name, ())]


MODELS = {
    "googlenet": Variant(GoogLeNet, fixed={"conv_bias": True, "wiring": GoogLeNetVariant()}),
    # The same wiring with batch normalization instead of response normalization.
    "googlenet_bn": Variant(
        GoogLeNet,
        fixed={"wiring": GoogLeNetVariant(epsilon=1e-5)},
        defaults={"auxiliary_heads": False, "initialization": "he"},
    ),
    # torchvision's, whose "5x5" branch is 3x3 and whose last pool is 2x2.
    "googlenet_torchvision": Variant(
        GoogLeNet,
        fixed={
            "stem": "conv",
            "padding": "caffe",
            "conv_bias": False,
            "wiring": GoogLeNetVariant(epsilon=1e-3, large=3, last_pool=2, adaptive_heads=True),
        },
        defaults={"initialization": "he", "dropout": 0.2},
    ),
}
