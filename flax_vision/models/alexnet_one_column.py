"""AlexNet in one column: the paper's comparison, 2012, and torchvision's model.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NIPS 2012: section 3.2. The authors' code for the comparison is layers/layers-145-half.cfg in
github.com/computerhistory/AlexNet-Source-Code.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from flax_vision.models import layers
from flax_vision.models.alexnet import LRN, POOL_SIZES, initializers
from flax_vision.models.layers import SCALED_TO_INPUTS, MaxPool, sow_output
from flax_vision.models.variant import Variant

FC_UNITS = 4096
"""Units of fc6 and fc7 (section 3.5)."""


class AlexNetOneColumn(nn.Module):
    """AlexNet in one column, whose kernels see all maps of the previous layer.

    It has the inputs, results and intermediates of `AlexNet`.

    `alexnet_half` has 59,798,312 parameters. It is "a net with half as many kernels in each
    convolutional layer trained on one GPU" (section 3.2). By its footnote the last convolution and
    fc6 and fc7 keep their sizes, so both nets have about the same number of parameters.
    `alexnet_one_column` has 62,378,344 parameters and all kernels. It is not in the paper; the
    columns of `alexnet` leave out some of its connections.

    Attributes:
      kernels: Number of kernels of each of the five convolutions.
      num_classes: Number of classes.
      lrn: Convention of the local response normalization, see `alexnet.LRN`.
      pool: Size and stride of the pools, see `alexnet.POOL_SIZES`.
      initialization: Initialization of the weights, as in `AlexNet`.
      fully_convolutional: Applies fc6 to fc8 as convolutions to images of any size.
      dropout: Rate of dropout after fc6 and fc7 (section 4.2); 0 for none.
      remat: Whether the backward pass recomputes the convolutions between two pools.
      dtype: Type of the arithmetic; parameters are float32.
    """

    kernels: tuple[int, ...] = (48, 128, 192, 192, 256)
    num_classes: int = 1000
    lrn: Literal["paper", "2012code", "caffe", "none"] = "paper"
    pool: Literal["3/2", "2/2"] = "3/2"
    initialization: Literal["paper", "2012code", "he", "glorot"] = "paper"
    fully_convolutional: bool = False
    dropout: float = 0.5
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        layers.check_images(images, "AlexNet", min_size=64)
        dropout = partial(nn.Dropout, self.dropout, deterministic=not train)
        sow, x = partial(sow_output, self), images
        one_column = AlexNetOneColumn
        for segment in (one_column._to_pool1, one_column._to_pool2, one_column._to_pool5):
            x = layers.maybe_remat(segment, self.remat and train)(self, x)
        dense = self.fully_convolutional
        fc6 = layers.FullyConnected(FC_UNITS, dense, **self._settings("fc6"))
        x = sow("relu6", nn.relu(fc6(x)))
        fc7 = layers.Conv(FC_UNITS, 1, relu=True, **self._settings("fc7"))
        x = sow("relu7", fc7(dropout()(x)))
        fc8 = layers.Conv(self.num_classes, 1, **self._settings("fc8"))
        scores = sow("scores", fc8(dropout()(x)))
        return scores.mean(axis=(1, 2)).astype(jnp.float32)

    def _to_pool1(self, images: Array) -> Array:
        # The padding is explained in `AlexNet`.
        x = self._conv(1, images, 11, stride=4, padding=((0, 3), (0, 3)))
        return self._pool("pool1", self._normalize("norm1", x))

    def _to_pool2(self, x: Array) -> Array:
        x = self._conv(2, x, 5, padding=2)
        return self._pool("pool2", self._normalize("norm2", x))

    def _to_pool5(self, x: Array) -> Array:
        for number in (3, 4, 5):
            x = self._conv(number, x, 3, padding=1)
        return self._pool("pool5", x)

    def _conv(self, number: int, x: Array, size: int, **geometry: Any) -> Array:
        """Applies a convolution of section 3.5, with its ReLU."""
        make_layer: Callable[..., layers.Conv] = partial(layers.Conv, relu=True, **geometry)
        layer = make_layer(self.kernels[number - 1], size, **self._settings(f"conv{number}"))
        return sow_output(self, f"relu{number}", layer(x))

    def _settings(self, name: str) -> dict[str, Any]:
        init = initializers(self.initialization, name, has_columns=False)
        return {"name": name, "dtype": self.dtype, **init}

    def _pool(self, name: str, x: Array) -> Array:
        return sow_output(self, name, MaxPool(POOL_SIZES[self.pool], 2)(x))

    def _normalize(self, name: str, x: Array) -> Array:
        convention = LRN[self.lrn]
        if convention is None:
            return x
        return sow_output(self, name, layers.LocalResponseNorm(convention.k, convention.alpha)(x))


OWT_CONVOLUTIONS: dict[int, Sequence[dict[str, int]]] = {
    1: [{"features": 64, "size": 11, "stride": 4, "padding": 2}],
    2: [{"features": 192, "size": 5, "padding": 2}],
    5: [{"features": features, "size": 3, "padding": 1} for features in (384, 256, 256)],
}
"""Convolutions before each pool, by the number of the last one."""


class AlexNetOwt(nn.Module):
    """AlexNet in one column, as in torchvision: 61,100,840 parameters.

    After Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014: no
    normalization, no columns, 64, 192, 384, 256 and 256 kernels, conv1 padded by 2 on every side,
    and dropout before fc6 and fc7. Inputs and results are as in `AlexNet`. Intermediates: relu1,
    pool1, relu2, pool2, relu3, relu4, relu5, pool5, relu6, relu7, scores.

    Attributes:
      num_classes: Number of classes.
      initialization: Initialization of the weights; biases are 0.
      fully_convolutional: Applies fc6 to fc8 as convolutions to images of any size.
      dropout: Rate of dropout before fc6 and fc7.
      remat: Whether the backward pass recomputes the convolutions between two pools.
      dtype: Type of the arithmetic; parameters are float32.
    """

    num_classes: int = 1000
    initialization: Literal["he", "glorot"] = "he"
    fully_convolutional: bool = False
    dropout: float = 0.5
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        layers.check_images(images, "AlexNet", min_size=63)
        sow = partial(sow_output, self)
        init = SCALED_TO_INPUTS[self.initialization]()
        conv = partial(layers.Conv, relu=True, kernel_init=init, dtype=self.dtype)
        fc = partial(layers.FullyConnected, kernel_init=init, dtype=self.dtype)
        dropout = partial(nn.Dropout, self.dropout, deterministic=not train)
        x = images
        for last, convolutions in OWT_CONVOLUTIONS.items():
            segment = partial(AlexNetOwt._to_pool, last=last, convolutions=convolutions, conv=conv)
            x = layers.maybe_remat(segment, self.remat and train)(self, x)
        fc6 = fc(4096, self.fully_convolutional, name="fc6")
        x = sow("relu6", nn.relu(fc6(dropout()(x))))
        x = sow("relu7", conv(4096, 1, name="fc7")(dropout()(x)))
        scores = sow("scores", conv(self.num_classes, 1, relu=False, name="fc8")(x))
        return scores.mean(axis=(1, 2)).astype(jnp.float32)

    def _to_pool(
        self,
        x: Array,
        last: int,
        convolutions: Sequence[dict[str, int]],
        conv: Callable[..., layers.Conv],
    ) -> Array:
        """Applies the convolutions up to number `last`, each with its ReLU, and the pool."""
        for number, geometry in enumerate(convolutions, last + 1 - len(convolutions)):
            x = conv(name=f"conv{number}", **geometry)(x)
            x = sow_output(self, f"relu{number}", x)
        return sow_output(self, f"pool{last}", MaxPool(3, 2)(x))


MODELS = {
    "alexnet_half": Variant(AlexNetOneColumn, fixed={"kernels": (48, 128, 192, 192, 256)}),
    "alexnet_one_column": Variant(AlexNetOneColumn, fixed={"kernels": (96, 256, 384, 384, 256)}),
    "alexnet_owt": Variant(AlexNetOwt),
}
