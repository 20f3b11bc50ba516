"""Random crops, flips, affine maps and erasing of training images."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from flax_vision.data.batches import Array

_MAX_ATTEMPTS = 10
"""Number of rectangles that are drawn until one fits into the image, as in torchvision."""


def random_crop(image: jax.Array, key: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Returns a random crop of an image [H, W, C]; `size` is its height and width."""
    end = jnp.array(image.shape[:2]) - jnp.array(size) + 1
    top, left = jax.random.randint(key, (2,), 0, end)
    return jax.lax.dynamic_slice(image, (top, left, 0), (*size, image.shape[2]))


def random_flip(image: jax.Array, key: jax.Array) -> jax.Array:
    """Mirrors an image [H, W, C] horizontally with probability 1/2."""
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def random_vertical_flip(image: jax.Array, key: jax.Array) -> jax.Array:
    """Turns an image [H, W, C] upside down with probability 1/2."""
    return jnp.where(jax.random.bernoulli(key), image[::-1], image)


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
    return sample_bilinear(image, rows, columns)


def random_rotation(image: jax.Array, key: jax.Array, degrees: float) -> jax.Array:
    """Rotates an image [H, W, C] around its center, with bilinear interpolation.

    Pixels from outside the image are 0, which is black before the normalization.

    Args:
      image: float32 pixels.
      key: PRNG key.
      degrees: Largest angle. The angle is uniform from -degrees to degrees.
    """
    return rotate(image, jax.random.uniform(key, minval=-degrees, maxval=degrees))


def rotate(image: jax.Array, degrees: jax.Array) -> jax.Array:
    """Rotates an image [H, W, C] counterclockwise by an angle, with bilinear interpolation."""
    no_shift = jnp.zeros(2)
    return sample_bilinear(image, *affine_sources(image.shape, rotation_matrix(degrees), no_shift))


def rotation_matrix(degrees: jax.Array) -> jax.Array:
    """Returns the matrix of `affine_sources` for a counterclockwise rotation, float32 [2, 2]."""
    angle = jnp.deg2rad(degrees)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return jnp.array([[cosine, sine], [-sine, cosine]])


def affine_sources(
    shape: tuple[int, ...], matrix: jax.Array, shift: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the source position of each pixel of an affine map around the image center.

    Args:
      shape: Height and width of the image, and perhaps more.
      matrix: float32 [2, 2], from rows and columns of the result to those of the source.
      shift: float32 [2], rows and columns that are added to the source.

    Returns:
      Rows and columns of the source, float32 [H, W] each.
    """
    height, width = shape[:2]
    center = (height - 1) / 2, (width - 1) / 2
    y = (np.arange(height, dtype=np.float32) - np.float32(center[0]))[:, None]
    x = (np.arange(width, dtype=np.float32) - np.float32(center[1]))[None]
    rows = matrix[0, 0] * y + matrix[0, 1] * x + (center[0] + shift[0])
    columns = matrix[1, 0] * y + matrix[1, 1] * x + (center[1] + shift[1])
    return rows, columns


def sample_bilinear(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Interpolates an image [H, W, C] at rows and columns, float32 [H, W]; 0 outside the image."""

    def sample(channel: jax.Array) -> jax.Array:
        return map_coordinates(channel, [rows, columns], order=1, mode="constant")

    return jax.vmap(sample, in_axes=2, out_axes=2)(image)


def sample_nearest(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Gathers pixels of an image [H, W, C] at rounded rows and columns; 0 outside the image.

    One gather moves all channels of a pixel, which is fast on CPUs.
    """
    height, width, channels = image.shape
    row, column = (jnp.floor(x + 0.5).astype(jnp.int32) for x in (rows, columns))
    is_inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    index = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
    pixels = image.reshape(-1, channels).at[index].get(mode="promise_in_bounds")
    return jnp.where(is_inside[..., None], pixels, 0)


def random_erasing(image: jax.Array, key: jax.Array, probability: float) -> jax.Array:
    """Sets a random rectangle of a normalized image [H, W, C] to 0, the mean.

    The rectangle has 2 % to 33 % of the area. The ratio of its sides is from 0.3 to 10/3, uniform
    in the logarithm as in torchvision. After ten rectangles that do not fit, nothing is erased.

    Args:
      image: Normalized float32 pixels.
      key: PRNG key.
      probability: Probability of erasing.

    Source: Zhong et al. 2017, "Random Erasing Data Augmentation", arXiv 1708.04896, algorithm 1.
    """
    erase_key, area_key, ratio_key, corner_key = jax.random.split(key, 4)
    height, width, _ = image.shape
    size, draws = jnp.array([height, width]), (_MAX_ATTEMPTS,)
    area = jax.random.uniform(area_key, draws, minval=0.02, maxval=0.33) * (height * width)
    log_ratio = math.log(10 / 3)
    ratio = jnp.exp(jax.random.uniform(ratio_key, draws, minval=-log_ratio, maxval=log_ratio))
    boxes = jnp.stack([jnp.sqrt(area * ratio), jnp.sqrt(area / ratio)], axis=1)
    boxes = jnp.round(boxes).astype(jnp.int32)  # [draws, 2], height and width
    fits = (boxes < size[None]).all(axis=1)
    box = boxes[jnp.argmax(fits)]
    is_erased = jax.random.bernoulli(erase_key, probability) & fits.any()
    corner = jax.random.randint(corner_key, (2,), 0, jnp.maximum(size - box, 0) + 1)
    is_inside = rectangle_mask(image.shape, corner, corner + box) & is_erased
    return jnp.where(is_inside[..., None], 0, image)


def rectangle_mask(shape: tuple[int, ...], start: Array, stop: Array) -> jax.Array:
    """Returns a mask of the pixels in a rectangle, bool [H, W].

    Args:
      shape: Height and width of the image, and perhaps more.
      start: int32 [2], first row and column.
      stop: int32 [2], row and column after the last.
    """
    row, column = jnp.arange(shape[0]), jnp.arange(shape[1])
    in_rows = (row >= start[0]) & (row < stop[0])
    in_columns = (column >= start[1]) & (column < stop[1])
    return in_rows[:, None] & in_columns[None]
