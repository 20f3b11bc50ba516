"""AlexNet, 2012.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NIPS 2012: section 3 and figure 2. Where the authors' code of the time differs from the text, an
option says so: github.com/computerhistory/AlexNet-Source-Code, layers/layers-145.cfg.
"""

from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax.sharding import Mesh
from jax.typing import DTypeLike

from flax_vision.models.columns import (
    COLUMN,
    COLUMNS,
    ColumnInput,
    check_batch,
    check_mesh,
    in_each_column,
    joined,
    with_columns,
)
from flax_vision.models.layers import (
    SCALED_TO_INPUTS,
    Conv,
    FullyConnected,
    Initializer,
    LocalResponseNorm,
    MaxPool,
    as_matrix,
    check_images,
    constant,
    keep,
    map_size,
    normal,
)
from flax_vision.models.variant import Variant
from flax_vision.ops.convolution import convolution
from flax_vision.ops.padding import Padding


class LrnConvention(NamedTuple):
    """One reading of section 3.3.

    Attributes:
      k: constant beside the sum of squares.
      alpha: factor of each term of the sum.
      across: sums over the maps of both columns in a row, instead of each column's own.
    """

    k: float
    alpha: float
    across: bool


LRN = {
    # The formula and its constants. The columns exchange nothing before the third convolution
    # (section 3.2), so that each sees its own maps only.
    "paper": LrnConvention(k=2.0, alpha=1e-4, across=False),
    # The same with N, "the total number of kernels in the layer", taken at its word.
    "paper_whole_layer": LrnConvention(k=2.0, alpha=1e-4, across=True),
    # layer.py of the authors' code divides alpha by n.
    "2012code": LrnConvention(k=2.0, alpha=1e-4 / 5, across=False),
    # bvlc_alexnet: alpha divided by n, and Caffe's default k.
    "caffe": LrnConvention(k=1.0, alpha=1e-4 / 5, across=True),
}

UNITS = 2048
"""Of fc6 and fc7 in each column (section 3.5)."""


class ColumnConv(nn.Module):
    """One convolution in each column: kernel [2, size, size, C, features], bias [2, features].

    Two dense convolutions, not one in two groups, which XLA makes several times slower and does
    not divide among devices. The layer's ReLU is part of it.

    Attributes:
      features: kernels of each column.
      size: height and width of each kernel; None for those of the maps, as in a fully connected
        layer.
      sees: what is convolved in each column, and `mesh`: see `in_each_column`.
      stride: between two windows, in pixels.
      padding: zeros around the image.
      fully_convolutional: with `size` None, allows maps that are larger than the kernel.
    """

    features: int
    size: int | None
    sees: ColumnInput = "own"
    mesh: Mesh | None = None
    stride: int = 1
    padding: Padding = "VALID"
    fully_convolutional: bool = False
    kernel_init: Initializer = normal(0.01)
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = (self.size,) * 2 if self.size else map_size(self, x, self.fully_convolutional)
        channels = x.shape[-1] // (COLUMNS if self.sees == "own" else 1)
        init = self.kernel_init if self.size else as_matrix(self.kernel_init)
        kernels = self.param("kernel", init, (COLUMNS, *size, channels, self.features), jnp.float32)
        biases = self.param("bias", self.bias_init, (COLUMNS, self.features), jnp.float32)
        operands = promote_dtype(x, kernels, biases, dtype=self.dtype)
        return in_each_column(self._convolve, self.mesh, self.sees)(*operands)

    def _convolve(self, x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        return convolution(x, kernel, self.stride, self.padding, bias=bias, relu=True)


class AlexNet(nn.Module):
    """AlexNet as published: two columns of half the kernels each, 60,965,224 parameters.

    Takes floating-point images [N, H, W, C], in the paper 224x224 of which the mean image was
    subtracted, and returns float32 logits [N, num_classes]. The images at `init` fix the size;
    with `fully_convolutional` they may be larger later. Intermediates, the maps of column a before
    those of column b: relu1, norm1, pool1, relu2, norm2, pool2, relu3, relu4, relu5, pool5, relu6,
    relu7; and scores, the score map of the last layer.

    Attributes:
      num_classes: classes.
      lrn: convention of the local response normalization, see `LRN`.
      initialization: `"paper"` for N(0, 0.01**2) and biases of 1 in conv2, conv4, conv5, fc6 and
        fc7 (section 5); `"2012code"` for the same with 0.03 in conv3 to conv5; `"he"` or
        `"glorot"`, with biases of 0.
      fully_convolutional: applies fc6 to fc8 as convolutions to images of any size and averages
        their scores (as in section 3.2 of the VGG paper).
      dropout: share of the outputs of fc6 and fc7 that is dropped (section 4.2).
      dtype: type of the arithmetic; parameters are float32.
      mesh: with an axis `column` of 2 each column runs on its own device, as in 2012, and they
        exchange maps before conv3, fc6, fc7 and fc8 only (section 3.2 and figure 2): the same
        parameters and results as without. Images are divided over its axis `data`, if there is
        one. Parameters are to lie over `column` by the leading axis of `column_layers`; fc8, which
        has no columns, is computed on every device.

    Raises:
      ValueError: the axis `column` is not there or neither 1 nor 2; or it is 2, and `lrn` sums over
        both columns, which would exchange more than the paper's, or a batch cannot be divided.
    """

    num_classes: int = 1000
    lrn: Literal["paper", "paper_whole_layer", "2012code", "caffe"] = "paper"
    initialization: Literal["paper", "2012code", "he", "glorot"] = "paper"
    fully_convolutional: bool = False
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32
    mesh: Mesh | None = None

    column_layers: ClassVar = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    """The layers whose parameters have a leading axis of 2, one for each column."""

    def __post_init__(self) -> None:
        if self.mesh is not None:
            check_mesh(self.mesh)
            if with_columns(self.mesh) and LRN[self.lrn].across:
                own = ", ".join(name for name, convention in LRN.items() if not convention.across)
                raise ValueError(
                    f"lrn is {self.lrn!r}, which sums over both columns; on devices of their own "
                    f"they exchange nothing there. Choose one of {own}, or give a mesh whose axis "
                    f"{COLUMN!r} is 1."
                )
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        check_images(images, "AlexNet", smallest=64)
        mesh = self._mesh()
        check_batch(images, mesh)
        dropout = partial(nn.Dropout, self.dropout, deterministic=not train)
        pool = partial(MaxPool, 3, 2, each=partial(in_each_column, mesh=mesh))
        # 224 pixels hold 54.25 windows of conv1. The authors' code rounds up and pads with zeros at
        # the right and the bottom; with 227 pixels that padding is not reached.
        x = self._layer("conv1", images, 48, 11, "images", stride=4, padding=((0, 3), (0, 3)))
        x = self._normalize("norm1", x)
        x = keep(self, "pool1", pool()(x))
        x = self._layer("conv2", x, 128, 5, padding=2)
        x = self._normalize("norm2", x)
        x = keep(self, "pool2", pool()(x))
        x = self._layer("conv3", x, 192, 3, "all", padding=1)
        x = self._layer("conv4", x, 192, 3, padding=1)
        x = self._layer("conv5", x, 128, 3, padding=1)
        x = keep(self, "pool5", pool()(x))
        dense = self.fully_convolutional
        x = self._layer("fc6", x, UNITS, None, "all", fully_convolutional=dense)
        x = self._layer("fc7", dropout()(x), UNITS, 1, "all")
        kernel_init, bias_init = _initializers(self.initialization, "fc8")
        fc8 = Conv(
            self.num_classes,
            1,
            kernel_init=kernel_init,
            bias_init=bias_init,
            dtype=self.dtype,
            name="fc8",
        )
        x = dropout()(x)
        with jax.named_scope("fc8"):  # it is for this layer that they are exchanged
            x = joined(x, mesh)
        scores = keep(self, "scores", fc8(x))
        return scores.mean(axis=(1, 2)).astype(jnp.float32)

    def _mesh(self) -> Mesh | None:
        """Returns the mesh to compute on; parameters begin from any number of images, on none."""
        return None if self.is_initializing() else with_columns(self.mesh)

    def _layer(
        self,
        name: str,
        x: jax.Array,
        features: int,
        size: int | None,
        sees: ColumnInput = "own",
        **settings: Any,
    ) -> jax.Array:
        """The layer `name` of section 3.5 with its ReLU."""
        kernel_init, bias_init = _initializers(self.initialization, name)
        layer = ColumnConv(
            features,
            size,
            sees,
            self._mesh(),
            kernel_init=kernel_init,
            bias_init=bias_init,
            dtype=self.dtype,
            name=name,
            **settings,
        )
        return keep(self, f"relu{name[-1]}", layer(x))

    def _normalize(self, name: str, x: jax.Array) -> jax.Array:
        k, alpha, across = LRN[self.lrn]
        own = partial(in_each_column, mesh=self._mesh())
        norm = LocalResponseNorm(k, alpha) if across else LocalResponseNorm(k, alpha, own)
        return keep(self, name, norm(x))


class AlexNetOwt(nn.Module):
    """AlexNet in one column, as torchvision has it: 61,100,840 parameters.

    After Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014: no
    normalization, no columns, 64, 192, 384, 256 and 256 kernels, conv1 padded by 2 on every side,
    and dropout before fc6 and fc7. Takes and returns what `AlexNet` does. Intermediates: relu1,
    pool1, relu2, pool2, relu3, relu4, relu5, pool5, relu6, relu7, scores.

    Attributes:
      num_classes: classes.
      initialization: of the weights; biases are 0.
      fully_convolutional: applies fc6 to fc8 as convolutions to images of any size.
      dropout: share of the inputs of fc6 and fc7 that is dropped.
      dtype: type of the arithmetic; parameters are float32.
    """

    num_classes: int = 1000
    initialization: Literal["he", "glorot"] = "he"
    fully_convolutional: bool = False
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        check_images(images, "AlexNet", smallest=63)
        init = SCALED_TO_INPUTS[self.initialization]()
        conv = partial(Conv, relu=True, kernel_init=init, dtype=self.dtype)
        dropout = partial(nn.Dropout, self.dropout, deterministic=not train)
        x = keep(self, "relu1", conv(64, 11, stride=4, padding=2, name="conv1")(images))
        x = keep(self, "pool1", MaxPool(3, 2)(x))
        x = keep(self, "relu2", conv(192, 5, padding=2, name="conv2")(x))
        x = keep(self, "pool2", MaxPool(3, 2)(x))
        x = keep(self, "relu3", conv(384, 3, padding=1, name="conv3")(x))
        x = keep(self, "relu4", conv(256, 3, padding=1, name="conv4")(x))
        x = keep(self, "relu5", conv(256, 3, padding=1, name="conv5")(x))
        x = keep(self, "pool5", MaxPool(3, 2)(x))
        fc6 = FullyConnected(4096, self.fully_convolutional, init, dtype=self.dtype, name="fc6")
        x = keep(self, "relu6", nn.relu(fc6(dropout()(x))))
        x = keep(self, "relu7", conv(4096, 1, name="fc7")(dropout()(x)))
        scores = keep(self, "scores", conv(self.num_classes, 1, relu=False, name="fc8")(x))
        return scores.mean(axis=(1, 2)).astype(jnp.float32)


def _initializers(scheme: str, layer: str) -> tuple[Initializer, Initializer]:
    """Returns the initialisers of a layer's kernel and bias."""
    if scheme in SCALED_TO_INPUTS:
        columns = () if layer == "fc8" else 0
        return SCALED_TO_INPUTS[scheme](batch_axis=columns), constant(0.0)
    wider = scheme == "2012code" and layer in ("conv3", "conv4", "conv5")
    one = layer in ("conv2", "conv4", "conv5", "fc6", "fc7")
    return normal(0.03 if wider else 0.01), constant(1.0 if one else 0.0)


MODELS = {"alexnet": Variant(AlexNet), "alexnet_owt": Variant(AlexNetOwt)}
