"""Random augmentations of training images, as in the papers, inside the compiled step.

Each image has its own key, so its augmentation depends on nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from flax_vision.data.preprocessing import Preprocessing

_LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance (ITU-R BT.601)."""


@dataclass(frozen=True)
class Augmentation:
    """Random augmentations of training images.

    Attributes:
      random_affine: Strength of planar affine distortions (`random_affine`), 0 for none; LeNet-5.
      color_jitter: Greatest distance from 1 of the factors of contrast, brightness and color
        (`color_jitter`), 0 for none; GoogLeNet.
      pca_noise: Standard deviation of the random multiples of `pca_components` that are added to
        all pixels of an image, 0 for none; AlexNet, VGG and ResNet.
      pca_components: [C][C] in units of a pixel. Each row is a principal component of the colors,
        multiplied by its eigenvalue (or standard deviation).
      pad_and_crop: Zeros around the normalized image before a random crop; ResNet on CIFAR.
      flip: Whether half of the images are mirrored.
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
        """Augments and normalizes uint8 images [N, H, W, C].

        Args:
          images: uint8 pixels.
          keys: PRNG keys [N].
          preprocessing: Preprocessing of the images in evaluation.
        """
        keys = jax.vmap(lambda key: jax.random.split(key, 5))(keys)
        x = preprocessing.pixels(images)
        if self.random_affine:
            x = jax.vmap(lambda x, key: random_affine(x, key, self.random_affine))(x, keys[:, 0])
        if self.color_jitter:
            x = jax.vmap(lambda x, key: color_jitter(x, key, self.color_jitter))(x, keys[:, 1])
        if self.pca_noise:
            x = jax.vmap(self._add_pca_noise)(x, keys[:, 2])
        x = preprocessing.normalize(x)
        size = (preprocessing.crop,) * 2 if preprocessing.crop else x.shape[1:3]
        if self.pad_and_crop or size != x.shape[1:3]:
            pad = (self.pad_and_crop, self.pad_and_crop)
            x = jnp.pad(x, ((0, 0), pad, pad, (0, 0)))
            x = jax.vmap(lambda x, key: random_crop(x, key, size))(x, keys[:, 3])
        return jax.vmap(random_flip)(x, keys[:, 4]) if self.flip else x

    def _add_pca_noise(self, x: jax.Array, key: jax.Array) -> jax.Array:
        components = jnp.asarray(self.pca_components, jnp.float32)
        multiples = self.pca_noise * jax.random.normal(key, (len(components),))
        return x + (multiples @ components)[None, None]


def random_crop(image: jax.Array, key: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Returns a random crop of an image [H, W, C]; `size` is its height and width."""
    end = jnp.array(image.shape[:2]) - jnp.array(size) + 1
    top, left = jax.random.randint(key, (2,), 0, end)
    return jax.lax.dynamic_slice(image, (top, left, 0), (*size, image.shape[2]))


def random_flip(image: jax.Array, key: jax.Array) -> jax.Array:
    """Mirrors an image [H, W, C] horizontally with probability 1/2."""
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def random_affine(image: jax.Array, key: jax.Array, strength: float) -> jax.Array:
    """Applies a random planar affine map to an image [H, W, C] on a background of 0.

    "Horizontal and vertical translations, scaling, squeezing (simultaneous horizontal compression
    and vertical elongation, or the reverse), and horizontal shearing" (LeCun et al. 1998, section
    III.C). The paper does not state the amounts. Here each is uniform. At strength 1 it reaches 7 %
    of the width for translations, 15 % for scaling and squeezing, and 0.2 for shearing.

    Args:
      image: float32 pixels.
      key: PRNG key.
      strength: Factor of the four amounts.
    """
    amounts = jax.random.uniform(key, (5,), minval=-strength, maxval=strength)
    down, right, scale, squeeze, shear = amounts * jnp.array([0.07, 0.07, 0.15, 0.15, 0.2])
    zoom, aspect = jnp.exp(scale), jnp.exp(squeeze)
    height, width, _ = image.shape
    center = jnp.array([height - 1, width - 1], jnp.float32) / 2
    y = jnp.arange(height, dtype=jnp.float32)[:, None] - center[0] - down * height
    x = jnp.arange(width, dtype=jnp.float32)[None] - center[1] - right * width
    # Source of each pixel of the result.
    rows = jnp.broadcast_to(y / (zoom * aspect), (height, width)) + center[0]
    columns = (x + shear * y) * aspect / zoom + center[1]

    def move(channel: jax.Array) -> jax.Array:
        return map_coordinates(channel, [rows, columns], order=1, mode="constant")

    return jax.vmap(move, in_axes=2, out_axes=2)(image)


def color_jitter(image: jax.Array, key: jax.Array, strength: float) -> jax.Array:
    """Changes the contrast, brightness and color of an image [H, W, 3] or [H, W, 1].

    Each is multiplied by a factor, uniform from 1 - strength to 1 + strength, in a random order.
    The method is from section 2.2 of Howard, "Some Improvements on Deep Convolutional Neural
    Network Based Image Classification", arXiv 1312.5402, cited in section 6 of the GoogLeNet paper.

    Args:
      image: float32 pixels from 0 to 255.
      key: PRNG key.
      strength: Greatest distance of a factor from 1; 0.5 in Howard's paper.
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
    for index in jax.random.permutation(order_key, 3):
        image = jax.lax.switch(index, changes, image)
    return image
