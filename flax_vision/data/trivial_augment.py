"""TrivialAugment: one random operation of random magnitude for each training image."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.data.color import blend, luminance
from flax_vision.data.geometric import (
    affine_sources,
    rectangle_mask,
    rotation_matrix,
    sample_nearest,
)

_BINS = 31
"""Number of magnitudes of each operation."""


class Operation(NamedTuple):
    """An operation, with the magnitudes of torchvision's `TrivialAugmentWide`.

    Attributes:
      magnitudes: float32 [31].
      is_signed: Whether half of the magnitudes become negative.
    """

    magnitudes: np.ndarray
    is_signed: bool


def _up_to(largest: float) -> Operation:
    return Operation(np.linspace(0, largest, _BINS, dtype=np.float32), is_signed=True)


def _unsigned(magnitudes: np.ndarray) -> Operation:
    return Operation(magnitudes.astype(np.float32), is_signed=False)


OPERATIONS = {
    "identity": _unsigned(np.zeros(_BINS)),
    "shear_x": _up_to(0.99),
    "shear_y": _up_to(0.99),
    "translate_x": _up_to(32.0),  # pixels
    "translate_y": _up_to(32.0),
    "rotate": _up_to(135.0),  # degrees
    "brightness": _up_to(0.99),
    "color": _up_to(0.99),
    "contrast": _up_to(0.99),
    "sharpness": _up_to(0.99),
    "posterize": _unsigned(8 - np.round(np.linspace(0, 6, _BINS))),  # bits
    "solarize": _unsigned(np.linspace(255, 0, _BINS)),  # threshold
    "autocontrast": _unsigned(np.zeros(_BINS)),
    "equalize": _unsigned(np.zeros(_BINS)),
}
"""Operations by name: the first six are geometric, and the others change pixel values."""

_NAMES = tuple(OPERATIONS)
_FIRST_COLOR = _NAMES.index("brightness")


def trivial_augment(image: jax.Array, key: jax.Array) -> jax.Array:
    """Applies one of 14 operations, with one of its magnitudes, to an image [H, W, C].

    Operations, magnitudes and signs are equally probable. Pixels from outside the image are 0.
    Unlike in torchvision, values are not rounded to integers.

    Args:
      image: float32 pixels from 0 to 255, with one or three channels.
      key: PRNG key.

    Source: Müller and Hutter 2021, "TrivialAugment: Tuning-free Yet State-of-the-Art Data
    Augmentation", arXiv 2103.10158, the wide space.
    """
    operation_key, bin_key, sign_key = jax.random.split(key, 3)
    operation = jax.random.randint(operation_key, (), 0, len(_NAMES))
    table = jnp.array([operation.magnitudes for operation in OPERATIONS.values()])
    magnitude = table[operation, jax.random.randint(bin_key, (), 0, _BINS)]
    is_signed = jnp.array([operation.is_signed for operation in OPERATIONS.values()])[operation]
    is_negative = is_signed & jax.random.bernoulli(sign_key)
    return apply_operation(image, operation, jnp.where(is_negative, -magnitude, magnitude))


def apply_operation(image: jax.Array, operation: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Applies an operation to an image [H, W, C] of float32 pixels from 0 to 255.

    Args:
      image: The pixels, with one or three channels.
      operation: int32 [], position of the operation in `OPERATIONS`.
      magnitude: float32 [], magnitude of the operation.
    """
    moved = _move(image, operation, magnitude)
    branches: tuple[Callable[[jax.Array, jax.Array], jax.Array], ...] = (
        lambda image, magnitude: moved,
        brightness,
        color,
        contrast,
        sharpness,
        posterize,
        solarize,
        autocontrast,
        equalize,
    )
    branch = jnp.maximum(operation - (_FIRST_COLOR - 1), 0)
    return jax.lax.switch(branch, branches, image, magnitude)


def _move(image: jax.Array, operation: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Applies one of the geometric operations; for the others the image stays unchanged.

    All of them are one affine map, so a step has only one gather. As in torchvision, a shear keeps
    the top left corner fixed.
    """

    def amount(name: str) -> jax.Array:
        return jnp.where(operation == _NAMES.index(name), magnitude, 0)

    shear_x, shear_y = amount("shear_x"), amount("shear_y")
    right, down = jnp.trunc(amount("translate_x")), jnp.trunc(amount("translate_y"))
    zero = jnp.float32(0)
    shear = jnp.array([[zero, shear_y], [shear_x, zero]])
    height, width, _ = image.shape
    shift = jnp.array([shear_y * (width / 2) - down, shear_x * (height / 2) - right])
    matrix = rotation_matrix(amount("rotate")) + shear
    return sample_nearest(image, *affine_sources(image.shape, matrix, shift))


def brightness(image: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Multiplies pixels by 1 + magnitude."""
    return blend(image, jnp.zeros_like(image), 1 + magnitude)


def color(image: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Multiplies the distance from the luminance by 1 + magnitude."""
    return blend(image, jnp.broadcast_to(luminance(image), image.shape), 1 + magnitude)


def contrast(image: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Multiplies the distance from the mean luminance by 1 + magnitude."""
    return blend(image, luminance(image).mean(keepdims=True), 1 + magnitude)


def sharpness(image: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Multiplies the distance from a smoothed image by 1 + magnitude, except at the border.

    The smoothed image is the mean of 3x3 pixels in which the center has the weight 5.
    """
    if min(image.shape[:2]) < 3:
        return image
    rows = image[:-2] + image[1:-1] + image[2:]
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    smooth = jnp.pad((sums + 4 * image[1:-1, 1:-1]) / 13, ((1, 1), (1, 1), (0, 0)))
    height, width, _ = image.shape
    is_inner = rectangle_mask(image.shape, np.array([1, 1]), np.array([height - 1, width - 1]))
    return jnp.where(is_inner[..., None], blend(image, smooth, 1 + magnitude), image)


def posterize(image: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Keeps the highest bits of pixels; `magnitude` is their number."""
    step = 2 ** (8 - magnitude)
    return jnp.floor(image / step) * step


def solarize(image: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Inverts pixels at or above a threshold; `magnitude` is the threshold."""
    return jnp.where(image >= magnitude, 255 - image, image)


def autocontrast(image: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Stretches each channel to the range 0 to 255, except channels of one value."""
    del magnitude
    low, high = image.min(axis=(0, 1), keepdims=True), image.max(axis=(0, 1), keepdims=True)
    stretched = (image - low) * (255 / jnp.where(high > low, high - low, 1))
    return jnp.where(high > low, stretched, image)


def equalize(image: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Equalizes the histogram of each channel, as PIL's `ImageOps.equalize` does."""
    del magnitude
    channels = image.shape[2]
    # One scatter and one gather for all channels, which is fast on CPUs.
    first = 256 * np.arange(channels, dtype=np.int32)[None, None]
    index = first + jnp.round(image).astype(jnp.int32)
    histogram = jnp.zeros(256 * channels, jnp.int32).at[index.reshape(-1)].add(1)
    table = jax.vmap(_equalization_table)(histogram.reshape(channels, 256))
    # Without the product, XLA computes the table again for each pixel.
    return (table @ jnp.eye(256)).reshape(-1)[index]


def _equalization_table(histogram: jax.Array) -> jax.Array:
    """Returns the new value of each value of a channel, float32 [256]."""
    values = jnp.arange(256)
    brightest = histogram[jnp.max(jnp.where(histogram > 0, values, 0))]
    step = (histogram.sum() - brightest) // 255
    darker = jnp.cumsum(histogram) - histogram
    table = jnp.clip((darker + step // 2) // jnp.maximum(step, 1), 0, 255)
    return jnp.where(step > 0, table, values).astype(jnp.float32)
