"""VGG, 2014.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
arXiv 1409.1556: section 2 and table 1, and the shallow model of section 4.1.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from flax_vision.models import layers
from flax_vision.models.conv_bn_relu import conv_bn_relu
from flax_vision.models.layers import SCALED_TO_INPUTS, Initializer, sow_output
from flax_vision.models.variant import Variant

# Table 1, transposed: five blocks of convolutions "size-kernels"; a max-pool ends each block.
# B-5x5 is the shallow model that section 4.1 compares with B: each pair of 3x3 convolutions is one
# 5x5 convolution, which sees the same pixels. Its top-1 error on a center crop is 7 % higher.
TABLE_1 = {
    "A": ("3-64", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "A-LRN": ("3-64 LRN", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "B": ("3-64 3-64", "3-128 3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "B-5x5": ("5-64", "5-128", "5-256", "5-512", "5-512"),
    "C": ("3-64 3-64", "3-128 3-128", "3-256 3-256 1-256", *["3-512 3-512 1-512"] * 2),
    "D": ("3-64 3-64", "3-128 3-128", "3-256 3-256 3-256", *["3-512 3-512 3-512"] * 2),
    "E": ("3-64 3-64", "3-128 3-128", "3-256 3-256 3-256 3-256", *["3-512 3-512 3-512 3-512"] * 2),
}

FC_UNITS = 4096
"""Units of fc6 and fc7 (table 1)."""

INITIALIZATION: dict[str, Initializer] = {
    "glorot": SCALED_TO_INPUTS["glorot"](),
    "he": SCALED_TO_INPUTS["he"](),
    "paper": layers.normal(0.1),
    "normal_0.01": layers.normal(0.01),
}


class VGG(nn.Module):
    """A model of `TABLE_1`: convolutions in five blocks, then three fully connected layers.

    Takes floating-point images [N, H, W, C], and returns float32 logits [N, num_classes]. The paper
    subtracts the mean RGB value from 224x224 images. The images at `init` fix the size; with
    `fully_convolutional` they may be larger later. Intermediates: relu1_1, pool1 and so on to
    pool5, relu6, relu7; the score map of the last layer as scores.

    Attributes:
      configuration: Column of table 1, or `"B-5x5"`.
      num_classes: Number of classes.
      batch_norm: `"none"`, as published; `"layer"`, after each convolution; or `"block"`, once a
        block, between the last ReLU and the pool.
      initialization: Initialization of the weights; biases are 0. `"glorot"` needs no pre-training
        (section 3.1, footnote 1), and `"he"` is for rectifiers. `"paper"` is the text's variance of
        0.01, with which the deep models do not train; `"normal_0.01"` is a standard deviation of
        0.01, as the text is commonly read.
      fully_convolutional: Applies fc6 to fc8 as convolutions of 7x7 and 1x1 to images of any size,
        and averages their scores (section 3.2).
      dropout: Rate of dropout after fc6 and fc7 (section 3.1).
      remat: Whether the backward pass recomputes each block: less memory, more time.
      dtype: Type of the arithmetic; parameters and statistics are float32.
    """

    configuration: str = "D"
    num_classes: int = 1000
    batch_norm: Literal["none", "layer", "block"] = "none"
    initialization: Literal["glorot", "he", "paper", "normal_0.01"] = "glorot"
    fully_convolutional: bool = False
    dropout: float = 0.5
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        layers.check_images(images, f"VGG {self.configuration}", min_size=32)
        init = INITIALIZATION[self.initialization]
        conv = partial(layers.Conv, kernel_init=init, dtype=self.dtype)
        fc = partial(layers.FullyConnected, kernel_init=init, dtype=self.dtype)
        norm = partial(layers.BatchNorm, use_running_average=not train, dtype=self.dtype)
        dropout = partial(nn.Dropout, self.dropout, deterministic=not train)
        x = images
        for block, row in enumerate(TABLE_1[self.configuration], 1):
            apply = partial(VGG._block, block=block, row=row.split(), conv=conv, norm=norm)
            x = layers.maybe_remat(apply, self.remat and train)(self, x)
        fc6 = fc(FC_UNITS, self.fully_convolutional, name="fc6")
        x = dropout()(sow_output(self, "relu6", nn.relu(fc6(x))))
        x = dropout()(sow_output(self, "relu7", conv(FC_UNITS, 1, relu=True, name="fc7")(x)))
        scores = sow_output(self, "scores", conv(self.num_classes, 1, name="fc8")(x))
        return scores.mean(axis=(1, 2)).astype(jnp.float32)

    def _block(
        self,
        x: Array,
        block: int,
        row: list[str],
        conv: Callable[..., layers.Conv],
        norm: Callable[..., layers.BatchNorm],
    ) -> Array:
        """Applies a block of table 1, each convolution with its ReLU, and its pool."""
        for i, layer in enumerate(row, 1):
            if layer == "LRN":
                x = sow_output(self, f"norm{block}", layers.LocalResponseNorm()(x))
                continue
            size, features = map(int, layer.split("-"))
            make_conv = partial(conv, features, size, padding=size // 2, name=f"conv{block}_{i}")
            if self.batch_norm == "layer":
                x = conv_bn_relu(x, make_conv(), norm(name=f"bn{block}_{i}"))
            else:
                x = make_conv(relu=True)(x)
            sow_output(self, f"relu{block}_{i}", x)
        x = norm(name=f"bn{block}")(x) if self.batch_norm == "block" else x
        return sow_output(self, f"pool{block}", layers.MaxPool(2, 2)(x))


def _variants(configuration: str, *names: str) -> dict[str, Variant]:
    fixed = {"configuration": configuration}
    plain = {name: Variant(VGG, fixed) for name in names}
    return plain | {f"{name}_bn": Variant(VGG, {**fixed, "batch_norm": "layer"}) for name in names}


MODELS = {
    **_variants("A", "vgg_a", "vgg11"),
    "vgg_a_lrn": Variant(VGG, {"configuration": "A-LRN"}),
    **_variants("B", "vgg_b", "vgg13"),
    "vgg_b_5x5": Variant(VGG, {"configuration": "B-5x5"}),
    **_variants("C", "vgg_c"),
    **_variants("D", "vgg_d", "vgg16"),
    **_variants("E", "vgg_e", "vgg19"),
}
