"""Training losses of each image, and their mean over a batch."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flax_vision.data.batches import Array
from flax_vision.data.dataset import Dataset
from flax_vision.errors import UserError
from flax_vision.text import counted, listed

Loss = Callable[[jax.Array, Array], jax.Array]
"""Function of logits float32 [N, classes] and labels int32 [N]; returns losses float32 [N]."""

_MAX_LISTED = 10
"""Largest number of class names in a message."""


def map_loss(logits: jax.Array, labels: Array, map_j: float) -> jax.Array:
    """Computes LeNet-5's maximum a posteriori loss, y_D + log(exp(-j) + sum_i exp(-y_i)).

    The second term pushes the wrong classes away. The constant j stands for a rubbish class: images
    far from every class are not pushed further.

    Args:
      logits: float32 [N, classes], the negated distances y.
      labels: int32 [N], the class D of each image.
      map_j: The constant j.

    Returns:
      float32 [N].

    Source: LeCun et al. 1998, section II.C, equation 9.
    """
    right = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    constant = jnp.full_like(logits[:, :1], -map_j)
    return jax.nn.logsumexp(jnp.concatenate([logits, constant], axis=1), axis=1) - right


def focal_loss(logits: jax.Array, labels: Array, gamma: float) -> jax.Array:
    """Computes the focal loss (1 - p)^gamma (-log p), with the softmax probability p of the label.

    It gives less weight to images that are predicted correctly with a large probability.

    Args:
      logits: float32 [N, classes].
      labels: int32 [N].
      gamma: Exponent; 0 gives the cross-entropy.

    Returns:
      float32 [N].

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4, without alpha.
    """
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    # Above 0, because the slope of a power below 1 is infinite there.
    miss = jnp.maximum(-jnp.expm1(-cross_entropy), jnp.finfo(logits.dtype).tiny)
    return miss**gamma * cross_entropy


def smoothed_cross_entropy(logits: jax.Array, labels: Array, smoothing: float) -> jax.Array:
    """Computes the cross-entropy with a share of each label spread over all classes.

    Args:
      logits: float32 [N, classes].
      labels: int32 [N].
      smoothing: Share from 0 to below 1.

    Returns:
      float32 [N].

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.
    """
    one_hot = jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(one_hot, smoothing))


def make_loss(
    name: str, map_j: float, focal_gamma: float = 2.0, label_smoothing: float = 0.0
) -> Loss:
    """Returns the loss `"lenet5_map"`, `"focal"` or `"cross_entropy"`."""
    if name == "lenet5_map":
        return lambda logits, labels: map_loss(logits, labels, map_j)
    if name == "focal":
        return partial(focal_loss, gamma=focal_gamma)
    if label_smoothing:
        return partial(smoothed_cross_entropy, smoothing=label_smoothing)
    return optax.softmax_cross_entropy_with_integer_labels


def make_eval_loss(name: str, map_j: float) -> Loss:
    """Returns the loss that evaluation reports: `"lenet5_map"` itself, else the cross-entropy."""
    return make_loss(name if name == "lenet5_map" else "cross_entropy", map_j)


def mean_loss(losses: jax.Array, mask: Array, weights: jax.Array | None = None) -> jax.Array:
    """Returns the mean over the images that count, float32 []; 0 if none counts.

    With weights it is sum(w loss) / sum(w), as in torch.nn.CrossEntropyLoss(weight=...).

    Args:
      losses: float32 [N].
      mask: bool [N], False for images that do not count.
      weights: float32 [N], weight of each image; None for equal weights.
    """
    if weights is None:
        # If all count, the factor is 1 and exact.
        factor = len(mask) / jnp.maximum(mask.sum(), 1).astype(jnp.float32)
        return jnp.where(mask, losses * factor, 0).mean()
    weights = jnp.where(mask, weights, 0)
    total = weights.sum()
    return (jnp.where(weights > 0, losses, 0) * weights).sum() / jnp.where(total > 0, total, 1)


def make_class_weights(text: str, train: Dataset) -> tuple[float, ...]:
    """Returns the weight of each class; empty for equal weights.

    Args:
      text: `"none"`, `"balanced"`, or numbers such as `"1,2,0.5"`. The balanced weight of a class
        is n / (classes * n_c): n images in all, n_c of the class. A class without images gets 0.
      train: Training set.

    Raises:
      UserError: The number of weights is wrong, or a weight is negative, or all weights are 0.
    """
    if text == "none":
        return ()
    names = train.class_names
    if text == "balanced":
        counts = np.bincount(train.labels, minlength=len(names))
        balanced = len(train) / (len(names) * np.maximum(counts, 1))
        return tuple(np.where(counts > 0, balanced, 0).tolist())
    weights = tuple(float(x) for x in text.split(","))
    if len(weights) != len(names):
        classes = counted(len(names), "class", "classes")
        problem = f"has {counted(len(weights), 'number')} for {classes}"
    elif min(weights) < 0:
        problem = f"has a negative weight for {names[int(np.argmin(weights))]!r}"
    elif not any(weights):
        problem = "has only zeros"
    else:
        return weights
    raise UserError(
        f"config.loss.class_weights is {text!r}, which {problem}; give a number from 0 for each "
        f"class, not all 0, in this order: {listed(names, _MAX_LISTED)}."
    )


def mixed_weights(weights: jax.Array, shares: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the weights of mixed images, and their shares for `mixed_loss`, float32 [N] each.

    With them, each label of an image has its own weight: share * weight of the class.

    Args:
      weights: float32 [N], weight of the class of each image.
      shares: float32 [N], share of the own image and of its label.
    """
    own, partner = shares * weights, (1 - shares) * weights[::-1]
    total = own + partner
    return total, jnp.where(total > 0, own / jnp.where(total > 0, total, 1), shares)


def mixed_loss(loss: Loss, shares: jax.Array) -> Loss:
    """Returns the loss of images that are mixed with the image at the mirrored position.

    For the cross-entropy it equals the loss of the mixed labels.

    Args:
      loss: Loss of each image and one label.
      shares: float32 [N], share of the own image and of its label.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412.
    """

    def of_both(logits: jax.Array, labels: Array) -> jax.Array:
        return shares * loss(logits, labels) + (1 - shares) * loss(logits, labels[::-1])

    return of_both
