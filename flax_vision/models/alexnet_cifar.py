"""The model of figure 1 in the AlexNet paper, 2012, for images of 32x32 pixels.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NIPS 2012: section 3.1 and figure 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from flax_vision.models import layers
from flax_vision.models.layers import SCALED_TO_INPUTS, AveragePool, MaxPool, sow_output
from flax_vision.models.variant import Variant
from flax_vision.ops.activations import tanh

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": nn.relu, "tanh": tanh}


class AlexNetCifar(nn.Module):
    """A four-layer convolutional network with ReLUs or tanh units: 89,578 parameters.

    Takes floating-point images [N, H, W, C], usually 32x32x3, and returns float32 logits
    [N, num_classes]. The images at `init` fix the size. Intermediates: act1, pool1, act2, pool2,
    act3, pool3.

    In the paper, such a network reaches a training error of 25 % on CIFAR-10 "six times faster than
    an equivalent network with tanh neurons". Both have their own best learning rate, and "no
    regularization of any kind". The paper does not give the layers. Here they are from the first
    author's cuda-convnet, example-layers/layers-18pct.cfg: three convolutions of 5x5 and a fully
    connected layer. Its response normalization within each map is left out, because the paper does
    not mention it for figure 1.

    Attributes:
      num_classes: Number of classes.
      activation: Activation function of the convolutions (section 3.1).
      initialization: `"cuda_convnet"` for N(0, 0.0001**2) in conv1 and N(0, 0.01**2) in the others,
        for pixels from 0 to 255 minus their mean; or `"he"` or `"glorot"`. Biases are 0.
      dtype: Type of the arithmetic; parameters are float32.
    """

    num_classes: int = 10
    activation: Literal["relu", "tanh"] = "relu"
    initialization: Literal["cuda_convnet", "he", "glorot"] = "cuda_convnet"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        del train
        layers.check_images(images, "AlexNet's CIFAR model", min_size=16)
        x = images
        for number, features in enumerate((32, 32, 64), 1):
            x = self._to_pool(number, features, x)
        fc = partial(layers.FullyConnected, kernel_init=self._initializer(4), dtype=self.dtype)
        return fc(self.num_classes, name="fc4")(x)[:, 0, 0].astype(jnp.float32)

    def _to_pool(self, number: int, features: int, x: Array) -> Array:
        """Applies a convolution, its activation function and its pool."""
        init = self._initializer(number)
        conv = partial(layers.Conv, size=5, padding=2, kernel_init=init, dtype=self.dtype)
        x = ACTIVATIONS[self.activation](conv(features, name=f"conv{number}")(x))
        x = sow_output(self, f"act{number}", x)
        # As in cuda-convnet, windows over the edges cover the pixels that are left over.
        if number == 1:
            return sow_output(self, "pool1", MaxPool(3, 2, "CEIL")(x))
        return sow_output(self, f"pool{number}", AveragePool(3, 2, ceil=True)(x))

    def _initializer(self, number: int) -> layers.Initializer:
        """Returns the initializer of the kernels of layer `number`, from 1 on."""
        if self.initialization in SCALED_TO_INPUTS:
            return SCALED_TO_INPUTS[self.initialization]()
        return layers.normal(0.0001 if number == 1 else 0.01)


MODELS = {"alexnet_cifar": Variant(AlexNetCifar, image_shape=(32, 32, 3))}
