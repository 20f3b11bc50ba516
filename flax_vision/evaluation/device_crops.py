"""The crops of a batch of images, and what a network makes of them, inside a compiled step."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.data.crops import resized_size
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation.protocols import Crop

Apply = Callable[[jax.Array], Any]
"""From images float32 [N, H, W, C], as a network takes them, to anything."""


def _unchanged(images: jax.Array) -> jax.Array:
    return images


def mean_posterior(
    network: Apply,
    images: jax.Array | np.ndarray,
    crops: Mapping[Crop, int],
    preprocessing: Preprocessing,
    of_crops: bool = False,
    of_scores: bool = False,
) -> jax.Array:
    """Returns the logarithm of the mean of the softmax outputs, float32 [N, classes].

    Args:
      network: returns logits float32 [N, classes]; those of a network that is convolutional from
        end to end are the mean of its class scores over the image.
      images: uint8 [N, H, W, C].
      crops: what it sees of each image, and how often that counts.
      preprocessing: of the network.
      of_crops: a mean image is of what the network sees, not of whole images.
      of_scores: returns the mean of the logits instead.
    """
    whole, as_seen = preprocessing, _unchanged
    if of_crops:
        whole = dataclasses.replace(preprocessing, mean=(0.0,), std=(1.0,))
        as_seen = partial(normalized, preprocessing=preprocessing)
    frames = {side: frame(images, side, whole) for side in {crop.side for crop in crops}}
    ordered = sorted(crops, key=attrgetter("shape"))
    answer = network if of_scores else lambda x: jax.nn.log_softmax(network(x))
    answers = [
        over_crops(answer, frames, list(alike), as_seen)
        for _, alike in itertools.groupby(ordered, key=attrgetter("shape"))
    ]
    counts = jnp.array([crops[crop] for crop in ordered], jnp.float32)
    if of_scores:
        return jnp.average(jnp.concatenate(answers), axis=0, weights=counts)
    return log_mean(jnp.concatenate(answers), counts[:, None], axis=0)


def log_mean(logarithms: jax.Array, counts: jax.Array, axis: int) -> jax.Array:
    """Returns the logarithm of the mean of posteriors, which may be too small for float32.

    Args:
      logarithms: float32 [..., classes], of the posteriors.
      counts: float32 [...], how often each counts; where none does, the result is minus infinity.
      axis: over which the mean is.
    """
    shares = counts / jnp.maximum(1, counts.sum(axis, keepdims=True))
    return jax.nn.logsumexp(logarithms, axis=axis, b=shares[..., None])


def frame(images: jax.Array | np.ndarray, side: int, preprocessing: Preprocessing) -> jax.Array:
    """Returns whole images, normalized, with the shorter side brought to `side`.

    A mean image is brought to the same height and width as the images: resizing is linear, so that
    it is the mean of the resized training images. Crops have its part at the same place.

    Args:
      images: uint8 [N, H, W, C].
      side: pixels.
      preprocessing: what its `resize` and `crop` say is left out.
    """
    pixels = dataclasses.replace(preprocessing, resize=0).pixels(images)
    shape = resized_size(pixels.shape[1:3], side)  # type: ignore[arg-type]
    return normalized(_resize(pixels, shape), dataclasses.replace(preprocessing, crop=0))


def normalized(pixels: jax.Array, preprocessing: Preprocessing) -> jax.Array:
    """Returns float32 pixels [N, H, W, C] less the mean and divided.

    The part of a mean image that the network sees is brought to their height and width.
    """
    mean: Any = np.asarray(preprocessing.mean, np.float32)
    if mean.ndim == 3:
        mean = _resize(preprocessing.center_crop(mean[None]), pixels.shape[1:3])[0]  # type: ignore[arg-type]
    return dataclasses.replace(preprocessing, mean=mean).normalize(pixels)


def over_crops(
    function: Apply,
    frames: Mapping[int, jax.Array],
    crops: Sequence[Crop],
    prepare: Callable[[jax.Array], jax.Array] = _unchanged,
) -> Any:
    """Returns what a function makes of each crop of the images, stacked.

    One crop of all images after the other, so that the memory is that of one, and the function is
    compiled once.

    Args:
      function: of images float32 [N, height, width, C].
      frames: the images [N, H, W, C] at each scale, by their shorter side.
      crops: that have one shape.
      prepare: what crops go through before they are mirrored.
    """
    kinds = sorted({_kind(crop) for crop in crops})
    cuts = [
        partial(_cut, frames[side], size=(height, width), shape=crops[0].shape)
        for side, height, width in kinds
    ]

    def look(kind: jax.Array, top: jax.Array, left: jax.Array, flip: jax.Array) -> Any:
        x = prepare(jax.lax.switch(kind, cuts, top, left))
        return function(jnp.where(flip, x[:, :, ::-1], x))

    rows = [(kinds.index(_kind(crop)), crop.box.top, crop.box.left, crop.flip) for crop in crops]
    columns = tuple(jnp.array(column) for column in zip(*rows, strict=True))
    return jax.lax.map(lambda row: look(*row), columns)


def _cut(
    images: jax.Array,
    top: jax.Array,
    left: jax.Array,
    *,
    size: tuple[int, int],
    shape: tuple[int, int],
) -> jax.Array:
    """Returns a part of images [N, H, W, C], brought to another height and width."""
    count, _, _, channels = images.shape
    start = (0, top, left, 0)
    return _resize(jax.lax.dynamic_slice(images, start, (count, *size, channels)), shape)


def _resize(images: jax.Array | np.ndarray, shape: tuple[int, int]) -> jax.Array:
    """Returns images [N, H, W, C] of another height and width, bilinearly."""
    if images.shape[1:3] == shape:
        return jnp.asarray(images)
    count, _, _, channels = images.shape
    return jax.image.resize(images, (count, *shape, channels), "linear")


def _kind(crop: Crop) -> tuple[int, int, int]:
    return crop.side, crop.box.height, crop.box.width
