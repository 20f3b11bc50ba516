"""Metrics of each class, their means, and the calibration of the confidence."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from flax_vision.data.batches import Array
from flax_vision.evaluation.metrics import Totals, has_top5, predict

NUM_BINS = 15
"""Number of equal-width bins of the confidence (Guo et al. 2017, section 5)."""


class ClassCounts(struct.PyTreeNode):
    """Counts of images by class and by bin of confidence, on a device or summed on the host.

    An undefined ratio is 0, as in scikit-learn with `zero_division=0`.

    Attributes:
      correct: int32 [classes], the images of each class that are predicted correctly.
      support: int32 [classes], the images of each class.
      predicted: int32 [classes], the predictions of each class.
      bin_correct: int32 [15], the correct predictions in each bin.
      bin_count: int32 [15], the predictions in each bin.
      bin_confidence: float32 [15], the sum of the confidences in each bin.
    """

    correct: Any
    support: Any
    predicted: Any
    bin_correct: Any
    bin_count: Any
    bin_confidence: Any

    @classmethod
    def of_batch(
        cls, predicted: Array, confidence: Array, labels: Array, mask: Array, num_classes: int
    ) -> "ClassCounts":
        """Returns the counts of a batch.

        Bin i has the confidences from i/15, exclusive, to (i+1)/15, inclusive.

        Args:
          predicted: int32 [N], the predicted classes.
          confidence: float32 [N], the probabilities of the predicted classes.
          labels: int32 [N], the true classes.
          mask: bool [N], False for images that do not count.
          num_classes: Number of classes.
        """
        correct = mask & (predicted == labels)
        bins = jnp.clip(jnp.ceil(confidence * NUM_BINS).astype(jnp.int32) - 1, 0, NUM_BINS - 1)
        in_bin = _members(bins, mask, NUM_BINS)
        return cls(
            correct=_count(_members(labels, correct, num_classes)),
            support=_count(_members(labels, mask, num_classes)),
            predicted=_count(_members(predicted, mask, num_classes)),
            bin_correct=_count(_members(bins, correct, NUM_BINS)),
            bin_count=_count(in_bin),
            bin_confidence=jnp.sum(jnp.where(in_bin, confidence[:, None], 0), axis=0),
        )

    @property
    def precision(self) -> np.ndarray:
        """Share of the predictions of each class that are correct, float64 [classes]."""
        return _ratio(self.correct, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """Share of the images of each class that are predicted correctly, float64 [classes]."""
        return _ratio(self.correct, self.support)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall of each class, float64 [classes]."""
        return _ratio(2 * _float64(self.correct), self._occurrences)

    @property
    def _occurrences(self) -> np.ndarray:
        return _float64(self.support) + _float64(self.predicted)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes with images."""
        return _mean(self.recall, self.support)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes with images or predictions."""
        return _mean(self.f1, self._occurrences)

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al. 2017, equation 3), 0 to 1.

        It is the mean difference between confidence and accuracy in a bin, weighted by the bins'
        counts.
        """
        gaps = np.abs(_float64(self.bin_correct) - _float64(self.bin_confidence))
        return float(gaps.sum() / max(_float64(self.bin_count).sum(), 1))

    @property
    def majority_share(self) -> float:
        """Share of the largest class: the accuracy of predicting it for every image."""
        support = _float64(self.support)
        return float(support.max() / max(support.sum(), 1))

    def averages(self) -> dict[str, float]:
        """Returns `balanced_accuracy`, `f1` (macro), `ece` and `majority_share`, 0 to 1."""
        return {
            "balanced_accuracy": self.balanced_accuracy,
            "f1": self.macro_f1,
            "ece": self.ece,
            "majority_share": self.majority_share,
        }

    def by_class(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """Returns `class`, `precision`, `recall`, `f1` and `support` of each class, by class."""
        columns = (self.precision, self.recall, self.f1, np.asarray(self.support, np.int64))
        keys = ("class", "precision", "recall", "f1", "support")
        rows = zip(class_names, *(column.tolist() for column in columns), strict=True)
        return [dict(zip(keys, row, strict=True)) for row in rows]

    def table(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """Returns the rows of `by_class` as a table in percent."""
        return [
            {
                "class": row["class"],
                "precision, %": 100 * row["precision"],
                "recall, %": 100 * row["recall"],
                "F1, %": 100 * row["f1"],
                "images": row["support"],
            }
            for row in self.by_class(class_names)
        ]


class EvalTotals(Totals):
    """Sums over evaluated images, with the counts of each class.

    Attributes:
      loss: float32 [], the sum of the losses.
      top1: int32 [], the number of images whose class has the largest logit.
      top5: int32 [], the number of images whose class has one of the five largest logits.
      count: int32 [], the number of images.
      classes: Counts by class and by bin of confidence.
    """

    classes: ClassCounts

    @classmethod
    def of_batch(
        cls, losses: jax.Array, logits: jax.Array, labels: Array, mask: Array
    ) -> "EvalTotals":
        """Returns the totals of a batch, as in `Totals.of_batch`."""
        totals = Totals.of_batch(losses, logits, labels, mask)
        predictions = predict(logits, labels)
        classes = ClassCounts.of_batch(*predictions, labels, mask, logits.shape[1])
        return cls(totals.loss, totals.top1, totals.top5, totals.count, classes)

    def averages(self) -> dict[str, float]:
        """Returns the averages of `Totals` and of `ClassCounts`, without `top5` of few classes.

        Raises:
          UserError: The totals count no images.
        """
        averages = super().averages() | self.classes.averages()
        if not has_top5(len(self.classes.support)):
            del averages["top5"]
        return averages


def _members(indices: Array, mask: Array, size: int) -> jax.Array:
    """Returns one-hot rows of the indices, bool [N, size]; all False where the mask is False."""
    return (indices[:, None] == jnp.arange(size, dtype=jnp.int32)[None]) & mask[:, None]


def _count(members: jax.Array) -> jax.Array:
    return jnp.sum(members, axis=0, dtype=jnp.int32)


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """Divides counts; 0 where the denominator is 0."""
    return _float64(numerator) / np.maximum(_float64(denominator), 1)


def _mean(values: np.ndarray, counts: Any) -> float:
    """Returns the mean of the values with a count above 0; 0 for none."""
    values = values[_float64(counts) > 0]
    return float(values.mean()) if len(values) else 0.0


def _float64(x: Any) -> np.ndarray:
    """Returns an array on the host, on which NumPy computes."""
    return np.asarray(x, np.float64)
