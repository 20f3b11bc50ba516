"""A network under a protocol, as one compiled step."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import errors as flax_errors
from flax import linen as nn

from flax_vision.data.batches import Array, Batch, batch_shapes
from flax_vision.errors import UserError
from flax_vision.evaluation.device_crops import mean_posterior
from flax_vision.evaluation.metrics import Totals
from flax_vision.evaluation.protocols import (
    CENTER,
    NAMES,
    PROTOCOLS,
    Crop,
    check_sides,
    crops_of,
    find_protocol,
    sides_of,
)
from flax_vision.models.googlenet import GoogLeNet
from flax_vision.models.registry import create_model, model_options
from flax_vision.models.resnet import CifarResNet, ResNet
from flax_vision.weights.saved_model import ModelMetadata


class BatchPredictions(NamedTuple):
    """What the images of a batch were taken for.

    Attributes:
      predicted: int32 [N], the class; as in the Totals, no image is right whose class has only as
        large an output as another.
      confidence: float32 [N], the posterior of that class, 0 to 1.
    """

    predicted: Array
    confidence: Array


Step = Callable[[Any, Batch], tuple[Totals, BatchPredictions]]
"""Compiled: from variables and a Batch to its Totals and the Verdict on each image."""

_MOST_IMAGES = 128
_CROP_PIXELS = 2**22
"""In one crop of a batch: activations of 1 GB where a layer has 64 maps."""
_STEP_PIXELS = 2**25
"""In all crops of a batch, so that a step is one of seconds."""


@dataclass(frozen=True, eq=False)
class ProtocolEvaluator:
    """A network and what it is shown of each image.

    Attributes:
      metadata: of the network.
      model: the network, in its fully convolutional form where the protocol asks for it.
      crops: what it sees of each image, and how often that counts; None for the preprocessing's.
      image_shape: height, width and channels of the images.
      of_scores: class scores are averaged over the crops; else softmax outputs.
      are_cut: the images are crops already.
    """

    metadata: ModelMetadata
    model: nn.Module
    crops: Counter[Crop] | None
    image_shape: tuple[int, ...]
    of_scores: bool = False
    are_cut: bool = False

    @property
    def sides(self) -> tuple[int, ...]:
        """Shorter sides that images are brought to; empty for the preprocessing's."""
        return tuple(sorted({crop.side for crop in self.crops})) if self.crops else ()

    @property
    def crops_per_image(self) -> int:
        """Crops that the result is the average of."""
        return self.crops.total() if self.crops else 1

    @property
    def batch_size(self) -> int:
        """Images in a step such that memory and the length of a step stay within bounds."""
        areas = [height * width for height, width in self._shapes()]
        fit = min(_CROP_PIXELS // max(areas), _STEP_PIXELS // sum(areas))
        return max(1, min(_MOST_IMAGES, fit))

    @property
    def has_flips(self) -> bool:
        """Whether mirror images are seen."""
        return any(crop.flip for crop in self.crops or ())

    def _shapes(self) -> list[tuple[int, int]]:
        if self.crops:
            return [crop.shape for crop in self.crops]
        images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.uint8)
        _, height, width, _ = jax.eval_shape(self.metadata.preprocessing, images).shape
        return [(height, width)]

    def compile(self, variables: Any, batch_size: int) -> Step:
        """Returns the compiled step.

        Args:
          variables: of the network, or their shapes.
          batch_size: images in a step.

        Raises:
          UserError: the network cannot take what it would be shown.
        """
        return self._compiled(self._step, variables, batch_shapes(self.image_shape, batch_size))

    def compile_scores(self, variables: Any, batch_size: int) -> Callable[[Any, Any], jax.Array]:
        """Returns `scores`, compiled as `compile` does the whole step."""
        images = batch_shapes(self.image_shape, batch_size).images
        return self._compiled(self.scores, variables, images)

    def _compiled(self, function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        try:
            lowered = jax.jit(function).lower(*arguments)
        except (ValueError, flax_errors.FlaxError) as error:
            problem = str(error).splitlines()[0]
            raise UserError(
                f"{self.metadata.name} cannot take these images under this protocol: {problem} "
                "Choose another --protocol, or other --scales."
            ) from error
        return lowered.compile()

    def _step(self, variables: Any, batch: Batch) -> tuple[Totals, BatchPredictions]:
        return score_batch(self.scores(variables, batch.images), batch.labels, batch.mask)

    def scores(self, variables: Any, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns what the softmax of is the network's answer, float32 [N, classes]."""

        def network(x: jax.Array) -> Any:
            return self.model.apply(variables, x, train=False)

        if self.crops is None:
            logits: jax.Array = network(self.metadata.preprocessing(images))
            return logits
        of_crops = self.are_cut or self.metadata.crop is not None
        return mean_posterior(
            network, images, self.crops, self.metadata.preprocessing, of_crops, self.of_scores
        )


def evenly(count: int, most: int) -> int:
    """Returns how many at once make as few steps as `most` would, of which all are like in size."""
    return -(-count // -(-count // most))


def score_batch(scores: jax.Array, labels: Array, mask: Array) -> tuple[Totals, BatchPredictions]:
    """Returns the totals of images with these scores, and the verdict on each."""
    labels = jnp.asarray(labels)
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    totals = Totals.of_batch(losses, scores, labels, mask)
    classes = _predicted(scores, labels)
    shares = jnp.take_along_axis(jax.nn.softmax(scores), classes[:, None], axis=1)
    return totals, BatchPredictions(classes, shares[:, 0])


def _predicted(scores: jax.Array, labels: jax.Array) -> jax.Array:
    right = jnp.take_along_axis(scores, labels[:, None], axis=1)
    is_right = jnp.sum(~(scores < right), axis=1) == 1
    own = jax.nn.one_hot(labels, scores.shape[1], dtype=jnp.bool_)
    wrong = jnp.argmax(jnp.where(own, -jnp.inf, scores), axis=1).astype(jnp.int32)
    return jnp.where(is_right, labels, wrong)


def prepare(
    metadata: ModelMetadata,
    protocol: str,
    image_shape: tuple[int, ...],
    scales: tuple[int, ...] | None = None,
    flip: bool = True,
) -> ProtocolEvaluator:
    """Returns a network under a protocol.

    Args:
      metadata: of the network.
      protocol: one of `protocols.NAMES`.
      image_shape: height, width and channels of the images.
      scales: shorter sides that images are brought to; None for the paper's, in proportion.
      flip: shows mirror images besides, where the protocol has them.

    Raises:
      UserError: the network, or the images, cannot be tested so.
    """
    if protocol == CENTER:
        _check_center(metadata, image_shape, scales)
        return ProtocolEvaluator(metadata, metadata.create_model(), None, image_shape)
    model = metadata.create_model()
    chosen = find_protocol(protocol, isinstance(model, ResNet))
    if chosen.is_dense:
        model = _fully_convolutional(metadata, protocol)
    sizes = _sizes(metadata, protocol)
    crop = sizes[0]
    sides = scales or sides_of(chosen, *sizes)
    height, width = image_shape[:2]
    check_sides(chosen, (height, width), crop, sides)
    crops = crops_of(chosen, (height, width), crop, sides, flip)
    return ProtocolEvaluator(metadata, model, crops, image_shape, chosen.of_scores)


def _check_center(metadata: ModelMetadata, image_shape: tuple[int, ...], scales: Any) -> None:
    preprocessing = metadata.preprocessing
    if scales:
        raise UserError(
            f"--scales is for the other protocols ({', '.join(PROTOCOLS)}); center is what the "
            "export's own preprocessing makes."
        )
    size = (preprocessing.resize,) * 2 if preprocessing.resize else tuple(image_shape[:2])
    mean = np.asarray(preprocessing.mean)
    needed = mean.shape[:2] if mean.ndim == 3 else size
    if metadata.crop and not preprocessing.resize:  # small images would be seen at another scale
        needed = tuple(metadata.image_shape[:2])
    if needed != size or min(size) < preprocessing.crop:
        raise UserError(
            f"the images are {size[0]}x{size[1]}, and the preprocessing of {metadata.name} is for "
            f"{'x'.join(map(str, metadata.image_shape[:2]))}; choose a protocol that brings them "
            "to its size, such as ten_crop."
        )


def _fully_convolutional(metadata: ModelMetadata, protocol: str) -> nn.Module:
    """Returns the network as a convolution from end to end, with the same parameters.

    GoogLeNet and ResNet are that already. What they average before their last layer is maps, not
    class scores, and that comes to the same, because the layer is linear.
    """
    if "fully_convolutional" in model_options(metadata.name):
        options = {**metadata.options, "fully_convolutional": True}
        return create_model(metadata.name, num_classes=len(metadata.class_names), **options)
    model = metadata.create_model()
    if not isinstance(model, GoogLeNet | ResNet | CifarResNet):
        others = [name for name in NAMES if name == CENTER or not PROTOCOLS[name].is_dense]
        raise UserError(
            f"{metadata.name} has no fully convolutional form, which --protocol {protocol} takes; "
            f"choose {', '.join(others[:-1])} or {others[-1]}."
        )
    return model


def _sizes(metadata: ModelMetadata, protocol: str) -> tuple[int, int, tuple[int, int] | None]:
    """Returns what `sides_of` takes: sizes of what the network was trained on."""
    preprocessing = metadata.preprocessing
    height, width = (
        (preprocessing.resize,) * 2 if preprocessing.resize else metadata.image_shape[:2]
    )
    shorter = min(height, width)
    if not preprocessing.crop and height != width and not PROTOCOLS[protocol].is_dense:
        raise UserError(
            f"{metadata.name} was trained on images of {height}x{width}, and the crops of "
            f"--protocol {protocol} are square; choose {CENTER}, or a dense protocol."
        )
    size, crop = preprocessing.crop or shorter, metadata.crop
    if crop is None:
        return size, shorter, None

    def to_own_scale(side: int) -> int:
        return round(side * shorter / crop.size)

    least, greatest = map(to_own_scale, crop.resize_range)
    jitter = None if crop.scale or least == greatest else (least, greatest)
    return size, to_own_scale(crop.eval_resize), jitter
