"""GoogLeNet, 2014.

Szegedy et al., "Going Deeper with Convolutions", arXiv 1409.4842: section 5, table 1, figure 3. The
paper leaves the initialization and the constants of the response normalization open. They follow
Caffe's bvlc_googlenet, to which one of the authors contributed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from flax_vision.models import layers
from flax_vision.models.conv_bn_relu import conv_bn_relu
from flax_vision.models.inception import ConvUnit, Inception, NaiveInception
from flax_vision.models.layers import SCALED_TO_INPUTS, Initializer, MaxPool, sow_output
from flax_vision.models.variant import Variant
from flax_vision.ops.padding import Padding

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

AUXILIARY_HEADS = {"4a": "aux1", "4d": "aux2"}
"""Names of the auxiliary heads, by the inception module before each."""

# Padding of the 7x7 convolution and of the 3x3/2 pools. Figure 3 marks both S, for SAME.
PADDING: dict[str, tuple[Padding, Padding]] = {
    "same": ("SAME", "SAME"),
    "caffe": (3, "CEIL"),
    "symmetric": (3, 1),
}

# Initialization of the kernels, and the biases of the convolutions; linear layers have biases of 0.
INITIALIZATION: dict[str, tuple[Initializer, float]] = {
    "caffe": (layers.variance_scaling(1.0, "fan_in", "uniform"), 0.2),
    "glorot": (SCALED_TO_INPUTS["glorot"](), 0.0),
    "he": (SCALED_TO_INPUTS["he"](), 0.0),
}


class GoogLeNetVariant(NamedTuple):
    """Differences between the three models.

    Attributes:
      epsilon: Epsilon of the batch normalization after each convolution. None instead uses local
        response normalization, at the two positions of figure 3.
      large: Height and width of the kernels in the "5x5" branch.
      last_pool: Height and width of the windows of the pool before 5a.
      adaptive_heads: Auxiliary heads take 4x4 means of maps of any size, instead of means of 5x5
        windows with stride 3.
    """

    epsilon: float | None = None
    large: int = 5
    last_pool: int = 3
    adaptive_heads: bool = False


class AuxiliaryHead(nn.Module):
    """A classifier on the maps of 4a or 4d, for training (section 5).

    Attributes:
      num_classes: Number of classes.
      pool: Constructor of the pooling layer.
      unit: Convolution with its normalization and ReLU.
      dropout: Constructor of the dropout after the fully connected layer.
      settings: Initializer and type of the fully connected layers.
    """

    num_classes: int
    pool: Callable[[], nn.Module]
    unit: ConvUnit
    dropout: Callable[[], nn.Dropout]
    settings: dict[str, Any]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = self.unit(self.pool()(x), 128, 1, name="conv")
        # On images larger than the first it is a convolution, as in section 3.2 of the VGG paper.
        x = nn.relu(layers.FullyConnected(1024, True, **self.settings, name="fc")(x))
        logits = nn.Dense(self.num_classes, **self.settings, name="linear")(self.dropout()(x))
        return logits.mean(axis=(1, 2)).astype(jnp.float32)


class GoogLeNet(nn.Module):
    """GoogLeNet as published: 6,998,552 parameters, 13,378,280 with both auxiliary heads.

    Takes floating-point images [N, H, W, C], and returns float32 logits [N, num_classes]. The paper
    subtracts the mean from 224x224 RGB images. Intermediates: relu1, pool1, norm1, relu2, norm2,
    pool2, 3a to 5b, pool3, pool4, pool5, and the logits of the auxiliary heads, aux1 and aux2. The
    heads are computed only at `init`, in training, or where `intermediates` is mutable.

    Attributes:
      num_classes: Number of classes.
      auxiliary_heads: Adds the two classifiers for training, on 4a and 4d.
      inception: Inception module: `"reduced"`, with dimension reduction (figure 2b); or `"naive"`,
        without 1x1 convolutions before 3x3 and 5x5 and after the pool (figure 2a). The naive ones
        keep table 1's kernels of 1x1, 3x3 and 5x5, and the channels grow to 4944.
      stem: First layer: a convolution, as in table 1 and figure 3; or `"separable"`, depthwise and
        pointwise, the only one with the 2.7K parameters and 34M multiply-adds of table 1.
      padding: Padding of the first convolution and the 3x3/2 pools: figure 3's `"same"`; `"caffe"`,
        3 and rounding up; `"symmetric"`, 3 and 1, as PyTorch users write it.
      conv_bias: Adds biases in the convolutions.
      initialization: `"caffe"` for U(-a, a), a = sqrt(3 / inputs), and biases of 0.2; `"glorot"` or
        `"he"` with biases of 0.
      dropout: Rate of dropout before the last layer.
      auxiliary_dropout: Rate of dropout in the auxiliary heads.
      remat: Whether the backward pass recomputes the stem and each inception module: less memory,
        more time.
      variant: Differences between this model, `googlenet_bn` and `googlenet_torchvision`.
      dtype: Type of the arithmetic; parameters and statistics are float32.
    """

    num_classes: int = 1000
    auxiliary_heads: bool = True
    inception: Literal["reduced", "naive"] = "reduced"
    stem: Literal["conv", "separable"] = "conv"
    padding: Literal["same", "caffe", "symmetric"] = "same"
    conv_bias: bool = True
    initialization: Literal["caffe", "glorot", "he"] = "caffe"
    dropout: float = 0.4
    auxiliary_dropout: float = 0.7
    remat: bool = False
    variant: GoogLeNetVariant = GoogLeNetVariant()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        is_visible = train or self.is_initializing() or self.is_mutable_collection("intermediates")
        heads = AUXILIARY_HEADS if self.auxiliary_heads and is_visible else {}
        layers.check_images(images, "GoogLeNet", self._min_size(bool(heads)))
        unit, dropout = self._unit(train), partial(nn.Dropout, deterministic=not train)
        maybe_remat = partial(layers.maybe_remat, enabled=self.remat and train)
        x = maybe_remat(partial(GoogLeNet._stem, unit=unit))(self, images)
        for name, kernels in TABLE_1.items():
            if name == "4a":
                x = sow_output(self, "pool3", self._pool(x))
            if name == "5a":
                x = sow_output(self, "pool4", self._pool(x, self.variant.last_pool))
            apply = partial(GoogLeNet._inception, name=name, kernels=kernels, unit=unit)
            x = sow_output(self, name, maybe_remat(apply)(self, x))
            if name in heads:
                sow_output(self, heads[name], self._head(name, unit, dropout)(x))
        x = sow_output(self, "pool5", layers.GlobalAveragePool()(x))
        linear = nn.Dense(self.num_classes, **self._linear_settings(), name="linear")
        return linear(dropout(self.dropout)(x)[:, 0, 0]).astype(jnp.float32)

    def _stem(self, images: Array, unit: ConvUnit) -> Array:
        """Applies the rows of table 1 before 3a."""
        x, size = images, 7
        geometry: dict[str, Any] = {"stride": 2, "padding": PADDING[self.padding][0]}
        if self.stem == "separable":
            channels = images.shape[-1]
            conv = partial(self._conv(), groups=channels, use_bias=False, name="conv1_depthwise")
            x, size, geometry = conv(8 * channels, 7, **geometry)(images), 1, {}
        x = sow_output(self, "relu1", unit(x, 64, size, name="conv1", **geometry))
        x = self._normalize("norm1", sow_output(self, "pool1", self._pool(x)))
        x = unit(x, 64, 1, name="conv2_reduce")
        x = sow_output(self, "relu2", unit(x, 192, 3, padding=1, name="conv2"))
        return sow_output(self, "pool2", self._pool(self._normalize("norm2", x)))

    def _inception(self, x: Array, name: str, kernels: tuple[int, ...], unit: ConvUnit) -> Array:
        module = NaiveInception if self.inception == "naive" else Inception
        return module(kernels, self.variant.large, unit, name=f"inception_{name}")(x)

    def _head(
        self, name: str, unit: ConvUnit, dropout: Callable[[float], nn.Dropout]
    ) -> AuxiliaryHead:
        adaptive, means = partial(layers.AdaptiveAveragePool, 4), partial(layers.AveragePool, 5, 3)
        pool = adaptive if self.variant.adaptive_heads else means
        head = partial(AuxiliaryHead, self.num_classes, pool, unit, name=f"auxiliary_{name}")
        return head(partial(dropout, self.auxiliary_dropout), self._linear_settings())

    def _pool(self, x: Array, size: int = 3) -> Array:
        return MaxPool(size, 2, PADDING[self.padding][1])(x)

    def _normalize(self, name: str, x: Array) -> Array:
        if self.variant.epsilon is not None:
            return x
        return sow_output(self, name, layers.LocalResponseNorm(k=1.0, alpha=1e-4 / 5)(x))

    def _conv(self) -> Callable[..., layers.Conv]:
        init, bias = INITIALIZATION[self.initialization]
        biases: dict[str, Any] = {"use_bias": self.conv_bias, "bias_init": layers.constant(bias)}
        return partial(layers.Conv, kernel_init=init, dtype=self.dtype, **biases)

    def _linear_settings(self) -> dict[str, Any]:
        return {"kernel_init": INITIALIZATION[self.initialization][0], "dtype": self.dtype}

    def _unit(self, train: bool) -> ConvUnit:
        conv, epsilon = self._conv(), self.variant.epsilon

        def unit(x: Array, kernels: int, size: int, *, name: str, **geometry: Any) -> Array:
            layer = conv(kernels, size, relu=epsilon is None, name=name, **geometry)
            if epsilon is None:
                return layer(x)
            norm = layers.BatchNorm(not train, epsilon, dtype=self.dtype, name=f"{name}_bn")
            return conv_bn_relu(x, layer, norm)

        return unit

    def _min_size(self, heads: bool) -> int:
        """Returns the smallest image size that leaves each pool a window."""
        if self.padding != "caffe":
            return 65 if heads else 1
        if self.variant.adaptive_heads:
            return 15
        return 79 if heads else 31


def auxiliary_logits(intermediates: Mapping[str, Any]) -> list[Array]:
    """Returns the logits of the auxiliary heads, float32 [N, classes] each; [] for other models.

    Args:
      intermediates: Collection `intermediates`, as `apply` returns it.
    """
    return [logits for name in AUXILIARY_HEADS.values() for logits in intermediates.get(name, ())]


MODELS = {
    "googlenet": Variant(GoogLeNet, fixed={"conv_bias": True, "variant": GoogLeNetVariant()}),
    # Batch normalization instead of response normalization.
    "googlenet_bn": Variant(
        GoogLeNet,
        fixed={"variant": GoogLeNetVariant(epsilon=1e-5)},
        defaults={"auxiliary_heads": False, "initialization": "he"},
    ),
    # torchvision's: the "5x5" branch is 3x3, and the last pool 2x2.
    "googlenet_torchvision": Variant(
        GoogLeNet,
        fixed={
            "inception": "reduced",
            "stem": "conv",
            "padding": "caffe",
            "conv_bias": False,
            "variant": GoogLeNetVariant(epsilon=1e-3, large=3, last_pool=2, adaptive_heads=True),
        },
        defaults={"initialization": "he", "dropout": 0.2},
    ),
}
