"""A custom model, for the trainer and every command.

Train it:

    python train.py --import examples.custom_model --config configs/resnet20.py \
        --config.model.name=tiny --workdir=runs/tiny

These commands evaluate it and print its layers:

    flax-vision --import examples.custom_model evaluate runs/tiny
    flax-vision --import examples.custom_model summary tiny

The module maps float32 images [N, H, W, C] to logits [N, num_classes]. Its other attributes are
keys of the configuration: --config.model.width=32.
"""

import jax
from flax import linen as nn

import flax_vision as fv


class Tiny(nn.Module):
    """Two convolutions with batch normalization, and the mean of each map."""

    num_classes: int = 10
    width: int = 16

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        x = images
        for width in (self.width, 2 * self.width):
            x = nn.Conv(width, (3, 3), strides=2, use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(self.num_classes)(x.mean(axis=(1, 2)))


fv.register_model("tiny", Tiny, image_shape=(28, 28, 3))
