"""Crops of a batch of images inside a compiled step, and the model's average over them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.data.crops import resized_size
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation.protocols import Crop, Size

ImageFn = Callable[[jax.Array], Any]
"""Function of preprocessed images, float32 [N, H, W, C]."""


def average_crops(
    model: ImageFn,
    images: jax.Array | np.ndarray,
    crops: Mapping[Crop, int],
    preprocessing: Preprocessing,
    crop_mean: bool = False,
    average_logits: bool = False,
) -> jax.Array:
    """Returns the log of the mean softmax output over the crops, float32 [N, classes].

    Args:
      model: Function that returns logits float32 [N, classes]. A fully convolutional model
        returns the mean of its class scores over the image.
      images: uint8 [N, H, W, C].
      crops: Crops of each image with their weights.
      preprocessing: Preprocessing of the model.
      crop_mean: Whether a mean image has the size of a crop, not of the whole image.
      average_logits: Whether to return the mean of the logits instead.
    """
    whole, preprocess = preprocessing, _identity
    if crop_mean:
        whole = replace(preprocessing, mean=(0.0,), std=(1.0,))
        preprocess = partial(normalize, preprocessing=preprocessing)
    resized = {x: resize_images(images, x, whole) for x in {crop.scale for crop in crops}}
    ordered = sorted(crops, key=attrgetter("shape"))
    groups = itertools.groupby(ordered, key=attrgetter("shape"))
    function = model if average_logits else lambda x: jax.nn.log_softmax(model(x))
    outputs = [map_crops(function, resized, list(group), preprocess) for _, group in groups]
    counts = jnp.array([crops[crop] for crop in ordered], jnp.float32)
    if average_logits:
        return jnp.average(jnp.concatenate(outputs), axis=0, weights=counts)
    return log_mean(jnp.concatenate(outputs), counts[:, None], axis=0)


def _identity(images: jax.Array) -> jax.Array:
    return images


def log_mean(log_probabilities: jax.Array, counts: jax.Array, axis: int) -> jax.Array:
    """Returns the log of a weighted mean of probabilities, which may underflow in float32.

    Args:
      log_probabilities: float32 [..., classes].
      counts: float32 [...], the weights; if all are 0, the result is minus infinity.
      axis: Axis of the mean.
    """
    weights = counts / jnp.maximum(1, counts.sum(axis, keepdims=True))
    return jax.nn.logsumexp(log_probabilities, axis=axis, b=weights[..., None])


def resize_images(
    images: jax.Array | np.ndarray, scale: int, preprocessing: Preprocessing
) -> jax.Array:
    """Returns whole normalized images, resized to a shorter side of `scale` pixels.

    A mean image is resized to the size of the images. Resizing is linear, so the result equals the
    mean of the resized training images. Each crop then has the matching part of the mean.

    Args:
      images: uint8 [N, H, W, C].
      scale: Shorter side in pixels.
      preprocessing: Preprocessing of the model, without its `resize` and `crop`.
    """
    pixels = replace(preprocessing, resize=0).pixels(images)
    shape = resized_size(pixels.shape[1:3], scale)  # type: ignore[arg-type]
    return normalize(_resize(pixels, shape), replace(preprocessing, crop=0))


def normalize(pixels: jax.Array, preprocessing: Preprocessing) -> jax.Array:
    """Subtracts the mean from float32 pixels [N, H, W, C], and divides by the deviation.

    A mean image is cropped like the images, and resized to their height and width.
    """
    mean: Any = np.asarray(preprocessing.mean, np.float32)
    if mean.ndim == 3:
        mean = _resize(preprocessing.center_crop(mean[None]), pixels.shape[1:3])[0]
    return replace(preprocessing, mean=mean).normalize(pixels)


def map_crops(
    function: ImageFn,
    images: Mapping[int, jax.Array],
    crops: Sequence[Crop],
    preprocess: Callable[[jax.Array], jax.Array] = _identity,
) -> Any:
    """Applies a function to each crop of the images, and stacks the results.

    The crops follow each other, so the memory is of one crop, and the function compiles once.

    Args:
      function: Function of images float32 [N, height, width, C].
      images: Images [N, H, W, C] at each scale.
      crops: Crops of one shape.
      preprocess: Function applied to each crop before mirroring.
    """
    sizes = [(crop.scale, crop.box.height, crop.box.width) for crop in crops]
    kinds = sorted(set(sizes))
    shape = crops[0].shape
    slices = [partial(_slice, images[scale], size, shape) for scale, *size in kinds]

    def apply(row: tuple[jax.Array, ...]) -> Any:
        kind, top, left, flip = row
        x = preprocess(jax.lax.switch(kind, slices, top, left))
        return function(jnp.where(flip, x[:, :, ::-1], x))

    offsets = [(crop.box.top, crop.box.left, crop.flip) for crop in crops]
    columns = [kinds.index(size) for size in sizes], *zip(*offsets, strict=True)
    return jax.lax.map(apply, tuple(map(jnp.array, columns)))


def _slice(images: jax.Array, size: Sequence[int], shape: Size, top: Any, left: Any) -> jax.Array:
    """Returns a rectangle of images [N, H, W, C], resized to another height and width."""
    sizes = (len(images), *size, images.shape[-1])
    return _resize(jax.lax.dynamic_slice(images, (0, top, left, 0), sizes), shape)


def _resize(images: jax.Array | np.ndarray, shape: Sequence[int]) -> jax.Array:
    """Resizes images [N, H, W, C] bilinearly."""
    sizes = (len(images), *shape, images.shape[-1])
    if images.shape == sizes:
        return jnp.asarray(images)
    return jax.image.resize(images, sizes, "linear")
