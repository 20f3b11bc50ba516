"""Loss, top-1 and top-5 accuracy as sums over images, and confusion matrices."""

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from flax_vision.data.batches import Array, Batch
from flax_vision.errors import UserError

_TOP = 5
"""Number of classes with the largest logits that `top5` compares with the label."""

_MAX_PENDING = 2
"""Number of steps that may wait for the device; each pending step holds its images."""

_MAX_COLUMNS, _MAX_ROWS = 12, 20
"""Largest number of classes with a full table, and of rows in the table for more classes."""


def has_top5(num_classes: int) -> bool:
    """Returns whether `top5` is informative: with up to five classes it is always 1."""
    return num_classes > _TOP


def label_ranks(logits: jax.Array, labels: Array) -> jax.Array:
    """Returns the number of logits above the label's logit, int32 [N].

    A logit equal to the label's logit ranks above it. Thus a model whose outputs are all equal,
    or not finite, gets no image right.

    Args:
      logits: float32 [N, classes].
      labels: int32 [N].
    """
    correct = jnp.take_along_axis(logits, labels[:, None], axis=1)
    return jnp.sum(~(logits < correct), axis=1) - 1


def predict(logits: jax.Array, labels: Array) -> tuple[jax.Array, jax.Array]:
    """Returns the predicted classes, int32 [N], and their probabilities, float32 [N].

    As in `label_ranks`, an image is misclassified if another logit equals its label's logit.

    Args:
      logits: float32 [N, classes].
      labels: int32 [N].
    """
    is_label = jax.nn.one_hot(labels, logits.shape[1], dtype=jnp.bool_)
    wrong = jnp.argmax(jnp.where(is_label, -jnp.inf, logits), axis=1).astype(jnp.int32)
    predicted = jnp.where(label_ranks(logits, labels) == 0, labels, wrong)
    confidence = jnp.take_along_axis(jax.nn.softmax(logits), predicted[:, None], axis=1)
    return predicted, confidence[:, 0]


class Totals(struct.PyTreeNode):
    """Sums over images.

    Attributes:
      loss: float32 [], the sum of the losses.
      top1: int32 [], the number of images whose class has the largest logit.
      top5: int32 [], the number of images whose class has one of the five largest logits.
      count: int32 [], the number of images.
    """

    loss: jax.Array
    top1: jax.Array
    top5: jax.Array
    count: jax.Array

    @classmethod
    def zero(cls) -> "Totals":
        """Returns the totals of no images."""
        return cls(jnp.float32(0), jnp.int32(0), jnp.int32(0), jnp.int32(0))

    @classmethod
    def of_batch(cls, losses: jax.Array, logits: jax.Array, labels: Array, mask: Array) -> "Totals":
        """Returns the totals of a batch.

        Args:
          losses: float32 [N].
          logits: float32 [N, classes].
          labels: int32 [N].
          mask: bool [N], False for images that do not count.
        """
        rank = label_ranks(logits, labels)

        def count(condition: Array) -> jax.Array:
            return jnp.sum(condition & mask, dtype=jnp.int32)

        loss = jnp.sum(jnp.where(mask, losses, 0))
        return cls(loss, count(rank < 1), count(rank < _TOP), count(mask))

    def __add__(self, other: Self) -> Self:
        return jax.tree.map(operator.add, self, other)

    def averages(self) -> dict[str, float]:
        """Returns the mean `loss`, `top1` and `top5` of an image; accuracies are from 0 to 1.

        Raises:
          UserError: The totals count no images.
        """
        count = int(self.count)
        if not count:
            raise UserError(
                "no images were counted: none is readable; on_error=stop gives the first reason."
            )
        return {name: float(getattr(self, name)) / count for name in ("loss", "top1", "top5")}


def with_prefix(split: str, averages: Mapping[str, float]) -> dict[str, float]:
    """Returns averages with their names in a record, such as `validation/top1`."""
    return {f"{split}/{name}": value for name, value in averages.items()}


TotalsT = TypeVar("TotalsT", bound=Totals)


def sum_totals(totals: Sequence[TotalsT]) -> TotalsT:
    """Adds the totals of batches on the host, as float64.

    Single precision would lose images in a long sum of losses.
    """
    added: TotalsT = functools.reduce(
        operator.add, jax.tree.map(np.float64, jax.device_get(totals))
    )
    return added


def sum_batches(
    eval_step: Callable[[Any, Batch], TotalsT],
    variables: Any,
    batches: Iterable[Batch],
    poll: Callable[[], None] = lambda: None,
) -> TotalsT:
    """Returns the totals over batches, float64.

    Args:
      eval_step: Compiled function from the variables and a batch to its totals.
      variables: Variables of the model.
      batches: Batches of a set, with at least one image.
      poll: Function called before each batch; it may raise to stop early.
    """
    totals = []
    for batch in batches:
        poll()
        totals.append(eval_step(variables, batch))
        if len(totals) > _MAX_PENDING:
            jax.block_until_ready(totals[-_MAX_PENDING])
    return sum_totals(totals)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts images by true class (rows) and predicted class (columns), int64 [classes, classes].

    Args:
      labels: int [N], the true classes.
      predicted: int [N], the predicted classes.
      num_classes: Number of classes.
    """
    pairs = labels.astype(np.int64) * num_classes + predicted
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def confusion_table(matrix: np.ndarray, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the rows of a table: the whole matrix, or the most frequent confusions of many.

    Args:
      matrix: Matrix as returned by `confusion_matrix`.
      class_names: Names of the classes.
    """
    if len(class_names) > _MAX_COLUMNS:
        return _most_frequent(matrix, class_names)
    return [
        {"class": name if name == str(index) else f"{index} {name}"}
        | {f"as {column}": count for column, count in enumerate(counts)}
        for index, (name, counts) in enumerate(zip(class_names, matrix.tolist(), strict=True))
    ]


def _most_frequent(matrix: np.ndarray, class_names: Sequence[str]) -> list[dict[str, Any]]:
    wrong = matrix - np.diag(np.diag(matrix))
    frequent = np.argsort(-wrong, axis=None, kind="stable")[:_MAX_ROWS]
    return [
        {
            "class": class_names[label],
            "predicted": class_names[predicted],
            "images": int(wrong[label, predicted]),
            "of its images, %": float(100 * wrong[label, predicted] / matrix[label].sum()),
        }
        for label, predicted in zip(*np.unravel_index(frequent, wrong.shape), strict=True)
        if wrong[label, predicted]
    ]
