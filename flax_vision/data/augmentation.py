"""The papers' random changes to training images, inside the compiled step.

Each image has a key of its own, so that what happens to it depends on nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from flax_vision.data.preprocessing import Preprocessing

# The luminance of red, green and blue (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """Which random changes there are.

    Attributes:
      random_affine: strength of planar affine distortions (`affine`), 0 for none; LeNet-5.
      color_jitter: how far from 1 the factors of contrast, brightness and color may be
        (`photometric`), 0 for none; GoogLeNet.
      pca_noise: standard deviation of the multiples of `pca_components` that are added to all
        pixels of an image, 0 for none; AlexNet, VGG and ResNet.
      pca_components: [C][C] in units of a pixel, a row for each principal component of the colors,
        multiplied by its eigenvalue (or standard deviation).
      pad_and_crop: Zeros around the normalized image before a random crop; ResNet on CIFAR.
      flip: mirrors every other image.
    """

    random_affine: float = 0.0
    color_jitter: float = 0.0
    pca_noise: float = 0.0
    pca_components: Sequence[Sequence[float]] = ()
    pad_and_crop: int = 0
    flip: bool = False

    def __call__(
        self, images: jax.Array | np.ndarray, keys: jax.Array, preprocessing: Preprocessing
    ) -> jax.Array:
        """Returns uint8 images [N, H, W, C] as the network sees them in training.

        Args:
          images: as they are read.
          keys: PRNG keys [N].
          preprocessing: of the same images in a test.
        """
        keys = jax.vmap(lambda key: jax.random.split(key, 5))(keys)
        x = preprocessing.pixels(images)
        if self.random_affine:
            x = jax.vmap(lambda x, key: affine(x, key, self.random_affine))(x, keys[:, 0])
        if self.color_jitter:
            x = jax.vmap(lambda x, key: photometric(x, key, self.color_jitter))(x, keys[:, 1])
        if self.pca_noise:
            x = jax.vmap(self._add_color)(x, keys[:, 2])
        x = preprocessing.normalize(x)
        size = (preprocessing.crop,) * 2 if preprocessing.crop else x.shape[1:3]
        if self.pad_and_crop or size != x.shape[1:3]:
            pads = (
                (0, 0),
                (self.pad_and_crop, self.pad_and_crop),
                (self.pad_and_crop, self.pad_and_crop),
                (0, 0),
            )
            x = jax.vmap(lambda x, key: random_crop(x, key, size))(jnp.pad(x, pads), keys[:, 3])
        return jax.vmap(random_flip)(x, keys[:, 4]) if self.flip else x

    def _add_color(self, x: jax.Array, key: jax.Array) -> jax.Array:
        components = jnp.asarray(self.pca_components, jnp.float32)
        multiples = self.pca_noise * jax.random.normal(key, (len(components),))
        return x + (multiples @ components)[None, None]


def random_crop(image: jax.Array, key: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Returns a part of an image [H, W, C], of that height and width, anywhere in it."""
    places = jnp.array(image.shape[:2]) - jnp.array(size) + 1
    top, left = jax.random.randint(key, (2,), 0, places)
    return jax.lax.dynamic_slice(image, (top, left, 0), (*size, image.shape[2]))


def random_flip(image: jax.Array, key: jax.Array) -> jax.Array:
    """Returns an image [H, W, C] or its mirror image, left for right."""
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def affine(image: jax.Array, key: jax.Array, strength: float) -> jax.Array:
    """Returns an image [H, W, C] of 0 background under a random planar affine map.

    "Horizontal and vertical translations, scaling, squeezing (simultaneous horizontal compression
    and vertical elongation, or the reverse), and horizontal shearing" (LeCun et al. 1998, section
    III.C), of which the paper does not say how much. Here each is uniform, at strength 1 up to 7 %
    of the width for translations, 15 % for scaling and squeezing, and 0.2 for shearing.

    Args:
      image: float32 pixels.
      key: a PRNG key.
      strength: multiplies the four amounts.
    """
    amounts = jax.random.uniform(key, (5,), minval=-strength, maxval=strength)
    down, right, scale, squeeze, shear = amounts * jnp.array([0.07, 0.07, 0.15, 0.15, 0.2])
    zoom, aspect = jnp.exp(scale), jnp.exp(squeeze)
    height, width, _ = image.shape
    center = jnp.array([height - 1, width - 1], jnp.float32) / 2
    y = jnp.arange(height, dtype=jnp.float32)[:, None] - center[0] - down * height
    x = jnp.arange(width, dtype=jnp.float32)[None] - center[1] - right * width
    # Where each pixel of the result comes from.
    rows = jnp.broadcast_to(y / (zoom * aspect), (height, width)) + center[0]
    columns = (x + shear * y) * aspect / zoom + center[1]

    def move(channel: jax.Array) -> jax.Array:
        return map_coordinates(channel, [rows, columns], order=1, mode="constant")

    return jax.vmap(move, in_axes=2, out_axes=2)(image)


def photometric(image: jax.Array, key: jax.Array, strength: float) -> jax.Array:
    """Returns an RGB image [H, W, 3] with other contrast, brightness and color.

    A gray one, [H, W, 1], has no color to change.

    Each is multiplied by a factor, uniform from 1 - strength to 1 + strength, in a random order
    (Howard, "Some Improvements on Deep Convolutional Neural Network Based Image Classification",
    arXiv 1312.5402, section 2.2, which the GoogLeNet paper cites in section 6).

    Args:
      image: float32 pixels from 0 to 255.
      key: a PRNG key.
      strength: 0.5 in that paper.
    """
    luminance = jnp.array(_LUMINANCE if image.shape[2] == 3 else (1.0,))
    order_key, factor_key = jax.random.split(key)
    factors = jax.random.uniform(factor_key, (3,), minval=1 - strength, maxval=1 + strength)

    def blend(x: jax.Array, other: jax.Array, factor: jax.Array) -> jax.Array:
        return jnp.clip(other + factor * (x - other), 0, 255)

    def gray(x: jax.Array) -> jax.Array:
        return (x @ luminance)[..., None]

    changes = (
        lambda x: blend(x, gray(x).mean(keepdims=True), factors[0]),
        lambda x: blend(x, jnp.zeros_like(x), factors[1]),
        lambda x: blend(x, jnp.broadcast_to(gray(x), x.shape), factors[2]),
    )
    for which in jax.random.permutation(order_key, 3):
        image = jax.lax.switch(which, changes, image)
    return image
