"""A model under a test protocol, as one compiled step."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import errors as flax_errors
from flax import linen as nn

from flax_vision.data.batches import Array, Batch, batch_shapes
from flax_vision.errors import UserError
from flax_vision.evaluation import protocols
from flax_vision.evaluation.class_metrics import EvalTotals
from flax_vision.evaluation.device_crops import average_crops
from flax_vision.evaluation.metrics import predict
from flax_vision.evaluation.protocols import CENTER, NAMES, PROTOCOLS, Crop, Protocol
from flax_vision.models.googlenet import GoogLeNet
from flax_vision.models.registry import create_model, model_options
from flax_vision.models.resnet import CifarResNet, ResNet
from flax_vision.weights.model_metadata import ModelMetadata


class Predictions(NamedTuple):
    """Predictions for the images of a batch, or of a whole set.

    Attributes:
      totals: Sums over the images that count.
      predicted: int32 [N], the class of each image; in a set, -1 for an unreadable image. As in
        the totals, an image is wrong if another logit equals its label's logit.
      confidence: float32 [N], the probability of that class; in a set, 0 for an unreadable image.
      top_classes: int32 [N, top], the most probable classes in descending order.
      top_probabilities: float32 [N, top], their probabilities.
      log_posteriors: float32 [N, classes], the logs of all probabilities; None if not asked for.
    """

    totals: EvalTotals
    predicted: Any
    confidence: Any
    top_classes: Any
    top_probabilities: Any
    log_posteriors: Any = None


Step = Callable[[Any, Batch], Predictions]
"""Compiled function from the variables and a batch to its predictions."""

_MAX_IMAGES, _MAX_CROP_PIXELS, _MAX_STEP_PIXELS = 128, 2**22, 2**25
"""Bounds on a batch: its images, the pixels of one crop, and the pixels of all crops.

The activations of 2**22 pixels in a layer with 64 maps take 1 GB; a step of 2**25 takes seconds.
"""


@dataclass(frozen=True, eq=False)
class ProtocolEvaluator:
    """A model and its crops of each image.

    Attributes:
      metadata: Description of the model.
      model: The model, in its fully convolutional form if the protocol is dense.
      image_shape: Height, width and channels of the images.
      protocol: Test protocol; None for center, the crop of the preprocessing.
      crops: Crops of each image with their counts; empty for center.
      images_are_crops: Whether the images are crops made on the host.
      top: Number of most probable classes in the predictions.
      has_posteriors: Whether the predictions have the probabilities of all classes.
    """

    metadata: ModelMetadata
    model: nn.Module
    image_shape: tuple[int, ...]
    protocol: Protocol | None
    crops: Counter[Crop]
    images_are_crops: bool = False
    top: int = 0
    has_posteriors: bool = False

    @property
    def scales(self) -> tuple[int, ...]:
        """Shorter sides of the resized images; empty for the crop of the preprocessing."""
        return tuple(sorted({crop.scale for crop in self.crops}))

    @property
    def batch_size(self) -> int:
        """Number of images in a step that bounds its memory and its duration."""
        if self.crops:
            areas = [math.prod(crop.shape) for crop in self.crops]
        else:
            images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.uint8)
            areas = [math.prod(jax.eval_shape(self.metadata.preprocessing, images).shape[1:3])]
        fit = min(_MAX_CROP_PIXELS // max(areas), _MAX_STEP_PIXELS // sum(areas))
        return max(1, min(_MAX_IMAGES, fit))

    @property
    def has_flips(self) -> bool:
        """Whether some crops are mirrored."""
        return any(crop.flip for crop in self.crops)

    def compile(self, variables: Any, batch_size: int) -> Step:
        """Returns the compiled step.

        Args:
          variables: Variables of the model, or their shapes.
          batch_size: Number of images in a step.

        Raises:
          UserError: The model does not accept the images.
        """
        return self._compile(self._step, variables, batch_shapes(self.image_shape, batch_size))

    def compile_scores(self, variables: Any, batch_size: int) -> Callable[[Any, Any], jax.Array]:
        """Returns `scores`, compiled like the step of `compile`."""
        shape = batch_shapes(self.image_shape, batch_size).images
        return self._compile(self.scores, variables, shape)

    def _compile(self, function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        try:
            lowered = jax.jit(function).lower(*arguments)
        except (ValueError, flax_errors.FlaxError) as error:
            problem = str(error).splitlines()[0]
            raise UserError(
                f"{self.metadata.name} cannot take these images under this protocol: {problem} "
                "Choose another --protocol, or other --scales."
            ) from error
        return lowered.compile()

    def _step(self, variables: Any, batch: Batch) -> Predictions:
        scores = self.scores(variables, batch.images)
        return score_batch(scores, batch.labels, batch.mask, self.top, self.has_posteriors)

    def scores(self, variables: Any, images: jax.Array | np.ndarray) -> jax.Array:
        """Returns logits, or log mean probabilities over crops, float32 [N, classes]."""
        preprocessing = self.metadata.preprocessing
        model: Any = partial(self.model.apply, variables, train=False)
        if self.protocol is None:
            return model(preprocessing(images))
        crop_mean = self.images_are_crops or self.metadata.crop is not None
        average_logits = self.protocol.average_logits
        return average_crops(model, images, self.crops, preprocessing, crop_mean, average_logits)


def score_batch(
    scores: jax.Array, labels: Array, mask: Array, top: int = 0, has_posteriors: bool = False
) -> Predictions:
    """Returns the predictions for a batch of scores.

    Args:
      scores: Logits or log probabilities, float32 [N, classes].
      labels: int32 [N].
      mask: bool [N], False for images that do not count.
      top: Number of most probable classes to return.
      has_posteriors: Whether to return the logs of all probabilities.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    totals = EvalTotals.of_batch(losses, scores, labels, mask)
    predicted, confidence = predict(scores, labels)
    top_probabilities, top_classes = jax.lax.top_k(jax.nn.softmax(scores), top)
    posteriors = jax.nn.log_softmax(scores) if has_posteriors else None
    return Predictions(totals, predicted, confidence, top_classes, top_probabilities, posteriors)


def build_evaluator(
    metadata: ModelMetadata,
    protocol: str,
    image_shape: tuple[int, ...],
    scales: tuple[int, ...] | None = None,
    flip: bool = True,
    top: int = 0,
    has_posteriors: bool = False,
) -> ProtocolEvaluator:
    """Returns a model under a protocol.

    Args:
      metadata: Description of the model.
      protocol: One of `protocols.NAMES`.
      image_shape: Height, width and channels of the images.
      scales: Shorter sides of the resized images; None for the paper's, in proportion.
      flip: Whether to add mirror images, if the protocol has them.
      top: Number of most probable classes in the predictions, limited to all classes.
      has_posteriors: Whether the predictions have the probabilities of all classes.

    Raises:
      UserError: The protocol does not fit the model or the images, or `top` is negative.
    """
    if top < 0:
        raise UserError(f"top is {top}; give the number of classes for each image, 0 or more.")
    model, top = metadata.create_model(), min(top, len(metadata.class_names))
    outputs: dict[str, Any] = {"top": top, "has_posteriors": has_posteriors}
    if protocol == CENTER:
        _check_center(metadata, image_shape, scales)
        return ProtocolEvaluator(metadata, model, image_shape, None, Counter(), **outputs)
    definition = protocols.find_protocol(protocol, isinstance(model, ResNet))
    if definition.is_dense:
        model = _fully_convolutional(metadata, model, protocol)
    crop_size, train_scale, scale_range = _train_sizes(metadata, protocol)
    scales = scales or protocols.default_scales(definition, crop_size, train_scale, scale_range)
    size = (image_shape[0], image_shape[1])
    protocols.check_scales(definition, size, crop_size, scales)
    crops = protocols.make_crops(definition, size, crop_size, scales, flip)
    return ProtocolEvaluator(metadata, model, image_shape, definition, crops, **outputs)


def _check_center(metadata: ModelMetadata, image_shape: tuple[int, ...], scales: Any) -> None:
    preprocessing = metadata.preprocessing
    if scales:
        raise UserError(
            f"--scales is for the other protocols ({', '.join(PROTOCOLS)}); leave it out."
        )
    size = (preprocessing.resize,) * 2 if preprocessing.resize else tuple(image_shape[:2])
    mean = np.asarray(preprocessing.mean)
    expected = mean.shape[:2] if mean.ndim == 3 else size
    if metadata.crop and not preprocessing.resize:  # small images would have another scale
        expected = tuple(metadata.image_shape[:2])
    if expected != size or min(size) < preprocessing.crop:
        raise UserError(
            f"the images are {size[0]}x{size[1]}, and the preprocessing of {metadata.name} is for "
            f"{'x'.join(map(str, metadata.image_shape[:2]))}; choose a protocol that resizes them, "
            "such as ten_crop."
        )


def _fully_convolutional(metadata: ModelMetadata, model: nn.Module, protocol: str) -> nn.Module:
    """Returns the model in its fully convolutional form, with the same parameters.

    GoogLeNet and ResNet already are. They average maps before their last layer, not class scores,
    but the layer is linear, so the result is the same.
    """
    if "fully_convolutional" in model_options(metadata.name):
        options = {**metadata.options, "fully_convolutional": True}
        return create_model(metadata.name, num_classes=len(metadata.class_names), **options)
    if not isinstance(model, GoogLeNet | ResNet | CifarResNet):
        others = [name for name in NAMES if name == CENTER or not PROTOCOLS[name].is_dense]
        raise UserError(
            f"{metadata.name} has no fully convolutional form, which --protocol {protocol} needs; "
            f"choose {', '.join(others[:-1])} or {others[-1]}."
        )
    return model


def _train_sizes(metadata: ModelMetadata, protocol: str) -> tuple[int, int, tuple[int, int] | None]:
    """Returns the crop size, the scale and the range of random scales of training."""
    resize, crop_size = metadata.preprocessing.resize, metadata.preprocessing.crop
    height, width = (resize, resize) if resize else metadata.image_shape[:2]
    if not crop_size and height != width and not PROTOCOLS[protocol].is_dense:
        raise UserError(
            f"{metadata.name} was trained on images of {height}x{width}, and the crops of "
            f"--protocol {protocol} are square; choose {CENTER}, or a dense protocol."
        )
    shorter = min(height, width)
    crop, crop_size = metadata.crop, crop_size or shorter
    if crop is None:
        return crop_size, shorter, None
    first, last, train_scale = (
        round(scale * shorter / crop.size) for scale in (*crop.resize_range, crop.eval_resize)
    )
    scale_range = None if crop.scale or first == last else (first, last)
    return crop_size, train_scale, scale_range
