"""VGG, 2014.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
arXiv 1409.1556: section 2 and table 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from flax_vision.models.conv_bn_relu import conv_bn_relu
from flax_vision.models.layers import (
    SCALED_TO_INPUTS,
    BatchNorm,
    Conv,
    FullyConnected,
    Initializer,
    LocalResponseNorm,
    MaxPool,
    check_images,
    keep,
    normal,
)
from flax_vision.models.variant import Variant

# Table 1: a column a configuration, its five blocks of convolutions "size-kernels" one after the
# other; a max-pool ends each block.
TABLE_1 = {
    "A": ("3-64", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "A-LRN": ("3-64 LRN", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "B": ("3-64 3-64", "3-128 3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "C": (
        "3-64 3-64",
        "3-128 3-128",
        "3-256 3-256 1-256",
        "3-512 3-512 1-512",
        "3-512 3-512 1-512",
    ),
    "D": (
        "3-64 3-64",
        "3-128 3-128",
        "3-256 3-256 3-256",
        "3-512 3-512 3-512",
        "3-512 3-512 3-512",
    ),
    "E": (
        "3-64 3-64",
        "3-128 3-128",
        "3-256 3-256 3-256 3-256",
        "3-512 3-512 3-512 3-512",
        "3-512 3-512 3-512 3-512",
    ),
}

UNITS = 4096
"""Of fc6 and fc7 (table 1)."""

INITIALIZATION: dict[str, Initializer] = {
    "glorot": SCALED_TO_INPUTS["glorot"](),
    "he": SCALED_TO_INPUTS["he"](),
    "paper": normal(0.1),
    "normal_0.01": normal(0.01),
}


class VGG(nn.Module):
    """A network of table 1: 3x3 convolutions in five blocks, then three fully connected layers.

    Takes floating-point images [N, H, W, C], in the paper 224x224 of which the mean RGB value was
    subtracted, and returns float32 logits [N, num_classes]. The images at `init` fix the size;
    with `fully_convolutional` they may be larger later. Intermediates: relu1_1, pool1 and so on to
    pool5, relu6, relu7; the score map of the last layer as scores.

    Attributes:
      configuration: column of table 1.
      num_classes: classes.
      batch_norm: after no layer, as published; after each convolution (`"layer"`); or once a block,
        between the last ReLU and the pool (`"block"`).
      initialization: of the weights; biases are 0. `"glorot"` needs no pre-training (section 3.1,
        footnote 1) and `"he"` is for rectifiers; `"paper"` is the text's variance of 0.01, with
        which the deep networks do not train, and `"normal_0.01"` the standard deviation of 0.01
        that it is commonly read as.
      fully_convolutional: applies fc6 to fc8 as convolutions of 7x7 and 1x1 to images of any size
        and averages their scores (section 3.2).
      dropout: share of the outputs of fc6 and fc7 that is dropped (section 3.1).
      dtype: type of the arithmetic; parameters and statistics are float32.
    """

    configuration: str = "D"
    num_classes: int = 1000
    batch_norm: Literal["none", "layer", "block"] = "none"
    initialization: Literal["glorot", "he", "paper", "normal_0.01"] = "glorot"
    fully_convolutional: bool = False
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        check_images(images, f"VGG {self.configuration}", smallest=32)
        init = INITIALIZATION[self.initialization]
        conv = partial(Conv, kernel_init=init, dtype=self.dtype)
        norm = partial(BatchNorm, use_running_average=not train, dtype=self.dtype)
        x = images
        for block, layers in enumerate(TABLE_1[self.configuration], 1):
            x = self._block(x, str(block), layers.split(), conv, norm)
            x = keep(self, f"pool{block}", MaxPool(2, 2)(x))
        dropout = partial(nn.Dropout, self.dropout, deterministic=not train)
        fc6 = FullyConnected(UNITS, self.fully_convolutional, init, dtype=self.dtype, name="fc6")
        x = dropout()(keep(self, "relu6", nn.relu(fc6(x))))
        x = dropout()(keep(self, "relu7", conv(UNITS, 1, relu=True, name="fc7")(x)))
        scores = keep(self, "scores", conv(self.num_classes, 1, name="fc8")(x))
        return scores.mean(axis=(1, 2)).astype(jnp.float32)

    def _block(
        self,
        x: jax.Array,
        block: str,
        layers: list[str],
        conv: Callable[..., Conv],
        norm: Callable[..., BatchNorm],
    ) -> jax.Array:
        """The layers of a block of table 1, each convolution with its ReLU."""
        for i, layer in enumerate(layers, 1):
            if layer == "LRN":
                x = keep(self, f"norm{block}", LocalResponseNorm()(x))
                continue
            size, features = map(int, layer.split("-"))
            convolve = partial(conv, features, size, padding=size // 2, name=f"conv{block}_{i}")
            if self.batch_norm == "layer":
                x = conv_bn_relu(x, convolve(), norm(name=f"bn{block}_{i}"))
            else:
                x = convolve(relu=True)(x)
            keep(self, f"relu{block}_{i}", x)
        return norm(name=f"bn{block}")(x) if self.batch_norm == "block" else x


def _variants(configuration: str, *names: str) -> dict[str, Variant]:
    fixed = {"configuration": configuration}
    plain = {name: Variant(VGG, fixed) for name in names}
    return plain | {f"{name}_bn": Variant(VGG, {**fixed, "batch_norm": "layer"}) for name in names}


MODELS = {
    **_variants("A", "vgg_a", "vgg11"),
    "vgg_a_lrn": Variant(VGG, {"configuration": "A-LRN"}),
    **_variants("B", "vgg_b", "vgg13"),
    **_variants("C", "vgg_c"),
    **_variants("D", "vgg_d", "vgg16"),
    **_variants("E", "vgg_e", "vgg19"),
}
