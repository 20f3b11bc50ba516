"""Random changes of the colors of training images."""

import jax
import jax.numpy as jnp
import numpy as np

_LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance (ITU-R BT.601)."""


def luminance(image: jax.Array) -> jax.Array:
    """Returns the luminance [H, W, 1] of an image [H, W, 3] or [H, W, 1]."""
    weights = jnp.array(_LUMINANCE if image.shape[2] == 3 else (1.0,))
    return (image @ weights)[..., None]


def blend(image: jax.Array, other: jax.Array, factor: jax.Array) -> jax.Array:
    """Returns other + factor * (image - other), clipped to pixels from 0 to 255."""
    return jnp.clip(other + factor * (image - other), 0, 255)


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
    order_key, factor_key = jax.random.split(key)
    factors = jax.random.uniform(factor_key, (3,), minval=1 - strength, maxval=1 + strength)
    changes = (
        lambda x: blend(x, luminance(x).mean(keepdims=True), factors[0]),
        lambda x: blend(x, jnp.zeros_like(x), factors[1]),
        lambda x: blend(x, jnp.broadcast_to(luminance(x), x.shape), factors[2]),
    )
    for index in jax.random.permutation(order_key, 3):
        image = jax.lax.switch(index, changes, image)
    return image


def random_hue(image: jax.Array, key: jax.Array, largest: float) -> jax.Array:
    """Shifts the hue of an image [H, W, 3]; gray images [H, W, 1] have none.

    Args:
      image: float32 pixels from 0 to 255.
      key: PRNG key.
      largest: Largest shift, as a share of the color circle. The shift is uniform from -largest to
        largest, as in torchvision's `ColorJitter`.
    """
    return shift_hue(image, jax.random.uniform(key, minval=-largest, maxval=largest))


def shift_hue(image: jax.Array, shift: jax.Array) -> jax.Array:
    """Shifts the hue of each pixel by a share of the color circle; keeps saturation and value.

    Args:
      image: float32 pixels from 0 to 255, [H, W, 3] or [H, W, 1].
      shift: float32 [], share of the color circle.
    """
    if image.shape[2] != 3:
        return image
    red, green, blue = (image[..., channel] for channel in range(3))
    value = image.max(axis=2)
    chroma = value - image.min(axis=2)
    divisor = jnp.where(chroma > 0, chroma, 1)
    # Hue in sixths of the circle, from red through green and blue.
    hue = jnp.where(
        value == red,
        (green - blue) / divisor,
        jnp.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    offsets = np.array([5, 3, 1], np.float32)[None, None]
    sector = (offsets + hue[..., None] + 6 * shift) % 6
    share = jnp.clip(jnp.minimum(sector, 4 - sector), 0, 1)
    return value[..., None] - chroma[..., None] * share
