"""Random augmentations of training images inside the compiled step.

Each image has its own key, so its augmentation depends on nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.data.batches import Array
from flax_vision.data.color import color_jitter, random_hue
from flax_vision.data.geometric import (
    random_affine,
    random_crop,
    random_erasing,
    random_flip,
    random_rotation,
    random_vertical_flip,
)
from flax_vision.data.mixing import mix
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.trivial_augment import trivial_augment

_Change = Callable[[jax.Array, jax.Array], jax.Array]
"""Function of an image [H, W, C] and a PRNG key."""

# Positions of the subkeys of an image's key. No subkey depends on the other augmentations.
_AFFINE, _COLOR_JITTER, _PCA_NOISE, _CROP, _FLIP = range(5)
_VERTICAL_FLIP, _ROTATION, _HUE, _TRIVIAL_AUGMENT, _ERASING, _MIXING = range(5, 11)


@dataclass(frozen=True)
class Augmentation:
    """Random augmentations of training images.

    Attributes:
      random_affine: Strength of planar affine distortions (`random_affine`), 0 for none; LeNet-5.
      rotation: Largest angle of `random_rotation` in degrees, 0 for none.
      trivial_augment: Whether each image gets one operation of `trivial_augment`.
      color_jitter: Greatest distance from 1 of the factors of contrast, brightness and color
        (`color_jitter`), 0 for none; GoogLeNet.
      hue: Largest shift of `random_hue` as a share of the color circle, 0 for none.
      pca_noise: Standard deviation of the random multiples of `pca_components` that are added to
        all pixels of an image, 0 for none; AlexNet, VGG and ResNet.
      pca_components: [C][C] in units of a pixel. Each row is a principal component of the colors,
        multiplied by its eigenvalue (or standard deviation).
      pad_and_crop: Zeros around the normalized image before a random crop; ResNet on CIFAR.
      flip: Whether half of the images are mirrored.
      vertical_flip: Whether half of the images are turned upside down.
      random_erasing: Probability of `random_erasing`.
      mixup: Parameter alpha of mixup in `mix`, 0 for none.
      cutmix: Parameter alpha of CutMix in `mix`, 0 for none.
    """

    random_affine: float = 0.0
    rotation: float = 0.0
    trivial_augment: bool = False
    color_jitter: float = 0.0
    hue: float = 0.0
    pca_noise: float = 0.0
    pca_components: Sequence[Sequence[float]] = ()
    pad_and_crop: int = 0
    flip: bool = False
    vertical_flip: bool = False
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __call__(
        self, images: jax.Array | np.ndarray, keys: jax.Array, preprocessing: Preprocessing
    ) -> jax.Array:
        """Augments and normalizes uint8 images [N, H, W, C].

        Args:
          images: uint8 pixels.
          keys: PRNG keys [N].
          preprocessing: Preprocessing of the images in evaluation.
        """
        subkeys = jax.vmap(lambda key: jax.random.split(key, 5))(keys)

        def apply(change: _Change, position: int, x: jax.Array) -> jax.Array:
            own = subkeys[:, position] if position < 5 else _fold_in(keys, position)
            return jax.vmap(change)(x, own)

        x = preprocessing.pixels(images)
        for change, position in self._changes_of_pixels():
            x = apply(change, position, x)
        x = preprocessing.normalize(x)
        size = (preprocessing.crop,) * 2 if preprocessing.crop else x.shape[1:3]
        if self.pad_and_crop or size != x.shape[1:3]:
            pad = (self.pad_and_crop, self.pad_and_crop)
            x = jnp.pad(x, ((0, 0), pad, pad, (0, 0)))
            x = apply(partial(random_crop, size=size), _CROP, x)
        for change, position in self._changes_of_input():
            x = apply(change, position, x)
        return x

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with others of their batch."""
        return bool(self.mixup or self.cutmix)

    def mix(self, images: jax.Array, keys: jax.Array, mask: Array) -> tuple[jax.Array, jax.Array]:
        """Mixes augmented images with others of their batch; see `mixing.mix`.

        Args:
          images: float32 [N, H, W, C].
          keys: PRNG keys [N], the same as for the augmentation.
          mask: bool [N], False for unreadable images.

        Returns:
          The mixed images, and the share of the own image, float32 [N].
        """
        return mix(images, _fold_in(keys, _MIXING), mask, self.mixup, self.cutmix)

    def _changes_of_pixels(self) -> Iterator[tuple[_Change, int]]:
        """Yields the augmentations of pixels from 0 to 255, and the positions of their subkeys."""
        if self.random_affine:
            yield partial(random_affine, strength=self.random_affine), _AFFINE
        if self.rotation:
            yield partial(random_rotation, degrees=self.rotation), _ROTATION
        if self.trivial_augment:
            yield trivial_augment, _TRIVIAL_AUGMENT
        if self.color_jitter:
            yield partial(color_jitter, strength=self.color_jitter), _COLOR_JITTER
        if self.hue:
            yield partial(random_hue, largest=self.hue), _HUE
        if self.pca_noise:
            yield self._add_pca_noise, _PCA_NOISE

    def _changes_of_input(self) -> Iterator[tuple[_Change, int]]:
        """Yields the augmentations of normalized and cropped images, and the positions."""
        if self.flip:
            yield random_flip, _FLIP
        if self.vertical_flip:
            yield random_vertical_flip, _VERTICAL_FLIP
        if self.random_erasing:
            yield partial(random_erasing, probability=self.random_erasing), _ERASING

    def _add_pca_noise(self, x: jax.Array, key: jax.Array) -> jax.Array:
        components = jnp.asarray(self.pca_components, jnp.float32)
        multiples = self.pca_noise * jax.random.normal(key, (len(components),))
        return x + (multiples @ components)[None, None]


def _fold_in(keys: jax.Array, position: int) -> jax.Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, position))(keys)
