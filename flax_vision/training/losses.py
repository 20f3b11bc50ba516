"""Training losses of each image."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from flax_vision.data.batches import Array

Loss = Callable[[jax.Array, Array], jax.Array]
"""Function of logits float32 [N, classes] and labels int32 [N]; returns losses float32 [N]."""


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


def make_loss(name: str, map_j: float) -> Loss:
    """Returns the loss `"lenet5_map"`, with j = `map_j`, or `"cross_entropy"`."""
    if name == "lenet5_map":
        return lambda logits, labels: map_loss(logits, labels, map_j)
    return optax.softmax_cross_entropy_with_integer_labels


def mixed_loss(loss: Loss, shares: jax.Array) -> Loss:
    """Returns the loss of images that are mixed with their mirrored position in the batch.

    For the cross entropy it equals the loss of the mixed labels.

    Args:
      loss: Loss of each image and one label.
      shares: float32 [N], share of the own image and of its label.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412.
    """

    def of_both(logits: jax.Array, labels: Array) -> jax.Array:
        return shares * loss(logits, labels) + (1 - shares) * loss(logits, labels[::-1])

    return of_both
