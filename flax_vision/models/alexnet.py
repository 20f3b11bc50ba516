"""AlexNet, 2012.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NIPS 2012: section 3 and figure 2. Options cover the differences between the text and the authors'
code: github.com/computerhistory/AlexNet-Source-Code, layers/layers-145.cfg.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import Array
from jax.sharding import Mesh
from jax.typing import DTypeLike

from flax_vision.models import columns, layers
from flax_vision.models.layers import SCALED_TO_INPUTS, Initializer, MaxPool, sow_output
from flax_vision.models.variant import Variant
from flax_vision.ops.convolution import conv
from flax_vision.ops.padding import Padding
from flax_vision.runtime.mesh import COLUMN


class LrnConvention(NamedTuple):
    """One reading of section 3.3.

    Attributes:
      k: Constant beside the sum of squares.
      alpha: Factor of each term of the sum.
      across: Sums over the maps of both columns in a row, instead of each column's own.
    """

    k: float
    alpha: float
    across: bool


LRN: dict[str, LrnConvention | None] = {
    # The formula and its constants. The columns exchange nothing before the third convolution
    # (section 3.2), so each normalizes its own maps only.
    "paper": LrnConvention(k=2.0, alpha=1e-4, across=False),
    # The same with N, "the total number of kernels in the layer", taken literally.
    "paper_whole_layer": LrnConvention(k=2.0, alpha=1e-4, across=True),
    # layer.py of the authors' code divides alpha by n.
    "2012code": LrnConvention(k=2.0, alpha=1e-4 / 5, across=False),
    # bvlc_alexnet: alpha divided by n, and Caffe's default k.
    "caffe": LrnConvention(k=1.0, alpha=1e-4 / 5, across=True),
    # No normalization: the comparison of section 3.3.
    "none": None,
}

POOL_SIZES = {
    # Section 3.4: overlapping windows, z = 3 and s = 2.
    "3/2": 3,
    # Its comparison, z = s = 2, "produces output of equivalent dimensions". Without padding, 55, 27
    # and 13 pixels become 27, 13 and 6 for both sizes; here the last row and column have no window.
    "2/2": 2,
}
"""Heights and widths of the pools' windows, which are 2 pixels apart."""

FC_UNITS = 2048
"""Units of fc6 and fc7 in each column (section 3.5)."""


class ColumnConv(nn.Module):
    """One convolution with ReLU per column.

    Parameters are a kernel [2, size, size, C, features] and a bias [2, features]. The convolutions
    are dense. XLA makes one convolution in two groups several times slower, and does not divide it
    among devices.

    Attributes:
      features: Number of kernels of each column.
      size: Height and width of each kernel; None for the size of the maps, as in a fully connected
        layer.
      inputs: Input of each column, see `columns.map_columns`.
      mesh: Mesh with a device for each column; None for a loop.
      stride: Distance between two windows, in pixels.
      padding: Zeros around the images.
      fully_convolutional: Allows maps larger than the kernel, if `size` is None.
    """

    features: int
    size: int | None
    inputs: columns.ColumnInput = "own"
    mesh: Mesh | None = None
    stride: int = 1
    padding: Padding = "VALID"
    fully_convolutional: bool = False
    kernel_init: Initializer = layers.normal(0.01)
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        size, init = (self.size, self.size), self.kernel_init
        if self.size is None:
            size = layers.fixed_map_size(self, x, self.fully_convolutional)
            init = layers.init_as_matrix(init)
        channels = x.shape[-1] // (columns.COLUMNS if self.inputs == "own" else 1)
        shape = (columns.COLUMNS, *size, channels, self.features)
        kernels = self.param("kernel", init, shape, jnp.float32)
        bias_shape = (columns.COLUMNS, self.features)
        biases = self.param("bias", self.bias_init, bias_shape, jnp.float32)
        operands = promote_dtype(x, kernels, biases, dtype=self.dtype)
        return columns.map_columns(self._convolve, self.mesh, self.inputs)(*operands)

    def _convolve(self, x: Array, kernel: Array, bias: Array) -> Array:
        return conv(x, kernel, self.stride, self.padding, bias=bias, relu=True)


class AlexNet(nn.Module):
    """AlexNet as published: two columns of half the kernels each, 60,965,224 parameters.

    Takes floating-point images [N, H, W, C], and returns float32 logits [N, num_classes]. The paper
    subtracts the mean image from 224x224 images. The images at `init` fix the size; with
    `fully_convolutional` they may be larger later. Intermediates, column a before column b: relu1,
    norm1, pool1, relu2, norm2, pool2, relu3, relu4, relu5, pool5, relu6, relu7; and scores, the
    score map of the last layer. Without normalization there are no norm1 and norm2.

    Attributes:
      num_classes: Number of classes.
      lrn: Convention of the local response normalization, see `LRN`; `"none"` for none, as in the
        comparison of section 3.3.
      pool: Size and stride of the pools; `"2/2"` for the comparison of section 3.4, see
        `POOL_SIZES`.
      initialization: `"paper"` for N(0, 0.01**2) and biases of 1 in conv2, conv4, conv5, fc6 and
        fc7 (section 5); `"2012code"` for the same with 0.03 in conv3 to conv5; `"he"` or
        `"glorot"`, with biases of 0.
      fully_convolutional: Applies fc6 to fc8 as convolutions to images of any size, and averages
        their scores (as in section 3.2 of the VGG paper).
      dropout: Rate of dropout after fc6 and fc7 (section 4.2); 0 for none.
      remat: Whether the backward pass recomputes the convolutions between two pools: less memory,
        more time.
      dtype: Type of the arithmetic; parameters are float32.
      mesh: Mesh of devices. If its axis `column` is 2, each column runs on its own device, as in
        2012. They exchange maps only before conv3, fc6, fc7 and fc8 (section 3.2 and figure 2).
        Parameters and results are the same as without. An axis `data` divides the images. The
        parameters of `column_layers` must lie over `column` by their leading axis; fc8, which has
        no columns, is computed on every device.

    Raises:
      ValueError: The mesh has no axis `column` of 1 or 2; or it is 2, and `lrn` sums over both
        columns, or the axis `data` does not divide a batch.
    """

    num_classes: int = 1000
    lrn: Literal["paper", "paper_whole_layer", "2012code", "caffe", "none"] = "paper"
    pool: Literal["3/2", "2/2"] = "3/2"
    initialization: Literal["paper", "2012code", "he", "glorot"] = "paper"
    fully_convolutional: bool = False
    dropout: float = 0.5
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    mesh: Mesh | None = None

    column_layers: ClassVar = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    """Layers whose parameters have a leading axis of 2, one entry per column."""

    def __post_init__(self) -> None:
        if self.mesh is not None:
            columns.check_mesh(self.mesh)
        across = [name for name, convention in LRN.items() if convention and convention.across]
        if columns.column_mesh(self.mesh) and self.lrn in across:
            own = ", ".join(name for name in LRN if name not in across)
            raise ValueError(
                f"lrn is {self.lrn!r}, which sums over both columns, but columns on their own "
                f"devices do not exchange these maps; choose one of {own}, or a mesh whose axis "
                f"{COLUMN!r} is 1."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        layers.check_images(images, "AlexNet", min_size=64)
        columns.check_batch(images, self._mesh)
        dropout = partial(nn.Dropout, self.dropout, deterministic=not train)
        dense = self.fully_convolutional
        x = images
        for segment in (AlexNet._to_pool1, AlexNet._to_pool2, AlexNet._to_pool5):
            x = layers.maybe_remat(segment, self.remat and train)(self, x)
        x = self._layer("fc6", x, FC_UNITS, None, "all", fully_convolutional=dense)
        x = self._layer("fc7", dropout()(x), FC_UNITS, 1, "all")
        fc8 = layers.Conv(self.num_classes, 1, **self._settings("fc8"))
        x = dropout()(x)
        with jax.named_scope("fc8"):  # the exchange belongs to this layer
            x = columns.gather_columns(x, self._mesh)
        scores = sow_output(self, "scores", fc8(x))
        return scores.mean(axis=(1, 2)).astype(jnp.float32)

    def _to_pool1(self, images: Array) -> Array:
        # 224 pixels hold 54.25 windows of conv1. The authors' code rounds up and pads with zeros at
        # the right and the bottom; with 227 pixels that padding is not reached.
        x = self._layer("conv1", images, 48, 11, "images", stride=4, padding=((0, 3), (0, 3)))
        return self._pool("pool1", self._normalize("norm1", x))

    def _to_pool2(self, x: Array) -> Array:
        x = self._layer("conv2", x, 128, 5, padding=2)
        return self._pool("pool2", self._normalize("norm2", x))

    def _to_pool5(self, x: Array) -> Array:
        x = self._layer("conv3", x, 192, 3, "all", padding=1)
        x = self._layer("conv4", x, 192, 3, padding=1)
        x = self._layer("conv5", x, 128, 3, padding=1)
        return self._pool("pool5", x)

    @property
    def _mesh(self) -> Mesh | None:
        """Mesh of the computation; `init` takes any number of images, and so uses none."""
        return None if self.is_initializing() else columns.column_mesh(self.mesh)

    def _layer(self, name: str, x: Array, *kernels: Any, **geometry: Any) -> Array:
        """Applies a `ColumnConv` of section 3.5, with its ReLU."""
        make_layer: Callable[..., ColumnConv] = partial(ColumnConv, mesh=self._mesh, **geometry)
        layer = make_layer(*kernels, **self._settings(name))
        return sow_output(self, f"relu{name[-1]}", layer(x))

    def _settings(self, name: str) -> dict[str, Any]:
        init = initializers(self.initialization, name, has_columns=name in self.column_layers)
        return {"name": name, "dtype": self.dtype, **init}

    def _pool(self, name: str, x: Array) -> Array:
        own = partial(columns.map_columns, mesh=self._mesh)
        pool = MaxPool(POOL_SIZES[self.pool], 2, map_columns=own)
        return sow_output(self, name, pool(x))

    def _normalize(self, name: str, x: Array) -> Array:
        convention = LRN[self.lrn]
        if convention is None:
            return x
        k, alpha, across = convention
        own = None if across else partial(columns.map_columns, mesh=self._mesh)
        return sow_output(self, name, layers.LocalResponseNorm(k, alpha, own)(x))


def initializers(scheme: str, layer: str, has_columns: bool) -> dict[str, Initializer]:
    """Returns the initializers of a layer's kernel and bias.

    Args:
      scheme: Value of the option `initialization` of `AlexNet`.
      layer: Name of the layer.
      has_columns: Whether the first axis of the kernel is the column.
    """
    if scheme in SCALED_TO_INPUTS:
        return {"kernel_init": SCALED_TO_INPUTS[scheme](batch_axis=0 if has_columns else ())}
    wider = scheme == "2012code" and layer in ("conv3", "conv4", "conv5")
    bias = 1.0 if layer in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0
    kernel_init = layers.normal(0.03 if wider else 0.01)
    return {"kernel_init": kernel_init, "bias_init": layers.constant(bias)}


MODELS = {"alexnet": Variant(AlexNet)}
