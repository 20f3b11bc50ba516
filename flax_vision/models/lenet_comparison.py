"""The classifiers that LeNet-5 is compared with: LeNet-1, LeNet-4 and a linear classifier.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11): section III.C, figures 9 to 12. The paper gives only rounded counts
for LeNet-1 and LeNet-4, and neither connections nor losses. Here the last layer is linear, for a
softmax.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from flax_vision.models.layers import Conv, check_images, sow_output
from flax_vision.models.lenet import (
    PartialConvolution,
    Subsampling,
    pad_to_field,
    scaled_tanh,
    uniform_fan_in,
)
from flax_vision.models.variant import Variant

LENET1_INPUT_SIZE = 28
"""Height and width of LeNet-1's input field."""


def connection_table(inputs: int, maps: Iterable[Iterable[int]]) -> np.ndarray:
    """Returns a table bool [inputs, maps] from the input maps of each map."""
    columns = [np.isin(np.arange(inputs), list(own)) for own in maps]
    return np.stack(columns, axis=1)


# LeCun et al., "Handwritten Digit Recognition with a Back-Propagation Network", 1989, table 1: two
# groups of six maps, each with two of the four input maps.
LENET1_TABLE = connection_table(
    4, [{0}, {0, 1}, {0, 1}, {1}, {0, 1}, {0, 1}, {2}, {2, 3}, {2, 3}, {3}, {2, 3}, {2, 3}]
)


def _neighbors(inputs: int, offsets: Iterable[int], starts: Iterable[int]) -> Iterator[set[int]]:
    """Yields the maps at the offsets from each start; after the last map comes the first."""
    offsets = list(offsets)
    return ({(start + offset) % inputs for offset in offsets} for start in starts)


# C3 has 60 links, as in LeNet-5: 8 maps of 4 neighbors, 4 of two pairs of neighbors, 4 of 3.
LENET4_TABLE = connection_table(
    8,
    [
        *_neighbors(8, (0, 1, 2, 3), range(8)),
        *_neighbors(8, (0, 1, 4, 5), range(4)),
        *_neighbors(8, (0, 1, 2), range(0, 8, 2)),
    ],
)
# C3 has 48 links: 8 maps of 3 neighbors, and 8 of 3 others.
LENET4_SMALL_TABLE = connection_table(
    8, [*_neighbors(8, (0, 1, 2), range(8)), *_neighbors(8, (0, 2, 5), range(8))]
)
# F5 has 560 links: 80 units see 5 of the 16 maps, and 40 see 4.
LENET4_F5_TABLE = connection_table(
    16,
    [
        *_neighbors(16, (0, 1, 2, 3, 4), range(16)),
        *_neighbors(16, (0, 3, 6, 9, 12), range(16)),
        *_neighbors(16, (0, 2, 5, 8, 11), range(16)),
        *_neighbors(16, (0, 1, 5, 7, 10), range(16)),
        *_neighbors(16, (0, 4, 6, 7, 13), range(16)),
        *_neighbors(16, (0, 1, 8, 9), range(8)),
        *_neighbors(16, (0, 2, 4, 6), range(16)),
        *_neighbors(16, (0, 3, 7, 12), range(16)),
    ],
)


class LeNet1(nn.Module):
    """LeNet-1: 2,578 parameters, about 2,600 in the paper.

    Takes floating-point images [N, H, W, C] of at most 28x28. The paper reduces digits of 20x20
    pixels to 16x16; `data.resize=22` does that to images of MNIST. Returns float32 logits
    [N, num_classes]. Intermediates: c1, s2, c3, s4.

    It has the layers and connections of LeCun et al., "Handwritten Digit Recognition with a
    Back-Propagation Network", 1989. That paper counts 2,578 parameters and 98,442 connections.

    Attributes:
      num_classes: Number of classes.
      initialization: Initialization of the weights, see `lenet.BOUNDS`; biases are 0.
      background: Value around the images, up to 28x28.
      dtype: Type of the arithmetic; parameters are float32.
    """

    num_classes: int = 10
    initialization: Literal["paper", "efficient_backprop"] = "paper"
    background: float = -0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        del train
        sow, scheme = partial(sow_output, self), self.initialization
        init = partial(uniform_fan_in, scheme=scheme)
        x = pad_to_field(images, self.background, LENET1_INPUT_SIZE, "LeNet-1")
        c1 = Conv(4, 5, kernel_init=init, dtype=self.dtype, name="C1")
        x = sow("c1", scaled_tanh(c1(x)))
        x = sow("s2", scaled_tanh(Subsampling(scheme, self.dtype, name="S2")(x)))
        c3 = PartialConvolution(LENET1_TABLE, 5, scheme, self.dtype, name="C3")
        x = sow("c3", scaled_tanh(c3(x)))
        x = sow("s4", scaled_tanh(Subsampling(scheme, self.dtype, name="S4")(x)))
        out = nn.Dense(self.num_classes, kernel_init=init, dtype=self.dtype, name="OUT")
        return out(x.reshape(x.shape[0], -1)).astype(jnp.float32)


class LeNet4(nn.Module):
    """LeNet-4: 16,998 parameters and 258,306 connections; about 17,000 and 260,000 in the paper.

    Takes floating-point images [N, H, W, C] of at most 32x32, and returns float32 logits
    [N, num_classes]. Intermediates: c1, s2, c3, s4, f5.

    The paper contradicts itself. It describes 4 maps, 8 sub-sampling maps, two for each of these,
    16 maps, 16 sub-sampling maps, a "fully connected layer with 120 units" and 10 outputs. But 120
    units with all 16 maps of 5x5 as inputs have 48,120 parameters. `wiring` offers both readings.
    The connections of C3 and F5 are ours: the paper gives none.

    Attributes:
      num_classes: Number of classes.
      wiring: `"counts"` for the two counts of the paper: C3 has 60 links, and each unit of F5 sees
        4 or 5 maps. `"full"` for a fully connected F5: C3 has 48 links, for 262,306 connections,
        but there are 50,698 parameters.
      initialization: Initialization of the weights, see `lenet.BOUNDS`; biases are 0.
      background: Value around the images, up to 32x32.
      dtype: Type of the arithmetic; parameters are float32.
    """

    num_classes: int = 10
    wiring: Literal["counts", "full"] = "counts"
    initialization: Literal["paper", "efficient_backprop"] = "paper"
    background: float = -0.1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        del train
        sow, scheme = partial(sow_output, self), self.initialization
        init = partial(uniform_fan_in, scheme=scheme)
        dense = partial(Conv, size=5, kernel_init=init, dtype=self.dtype)
        sparse = partial(PartialConvolution, initialization=scheme, dtype=self.dtype)
        is_full = self.wiring == "full"
        x = pad_to_field(images, self.background, model="LeNet-4")
        x = sow("c1", scaled_tanh(dense(4, name="C1")(x)))
        s2 = Subsampling(scheme, self.dtype, name="S2")
        x = sow("s2", scaled_tanh(s2(jnp.repeat(x, 2, axis=3))))
        c3 = sparse(LENET4_SMALL_TABLE if is_full else LENET4_TABLE, name="C3")
        x = sow("c3", scaled_tanh(c3(x)))
        x = sow("s4", scaled_tanh(Subsampling(scheme, self.dtype, name="S4")(x)))
        f5 = dense(120, name="F5") if is_full else sparse(LENET4_F5_TABLE, name="F5")
        x = sow("f5", scaled_tanh(f5(x)))
        out = nn.Dense(self.num_classes, kernel_init=init, dtype=self.dtype, name="OUT")
        return out(x.reshape(x.shape[0], -1)).astype(jnp.float32)


class LinearClassifier(nn.Module):
    """A linear classifier of pixels: 7,850 parameters for 28x28 images (section III.C).

    Takes floating-point images [N, H, W, C] of the size at `init`, and returns float32 logits
    [N, num_classes].

    Attributes:
      num_classes: Number of classes.
      dtype: Type of the arithmetic; parameters are float32.
    """

    num_classes: int = 10
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        del train
        check_images(images, "the linear classifier", min_size=1)
        # The loss is convex, so the start does not matter.
        init = nn.initializers.zeros
        out = nn.Dense(self.num_classes, kernel_init=init, dtype=self.dtype, name="OUT")
        return out(images.reshape(images.shape[0], -1)).astype(jnp.float32)


MODELS = {
    "lenet1": Variant(LeNet1, image_shape=(28, 28, 1)),
    "lenet4": Variant(LeNet4, image_shape=(28, 28, 1)),
    "lenet_linear": Variant(LinearClassifier, image_shape=(28, 28, 1)),
}
