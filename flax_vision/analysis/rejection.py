"""Errors of a classifier that rejects its least confident predictions.

LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section III.D and
figure 10: the share of test images to reject for an error of 0.5 % on the others.
"""

from typing import NamedTuple

import numpy as np

from flax_vision.errors import UserError


class RejectionCurve(NamedTuple):
    """The error of a classifier by the share of rejected images.

    Attributes:
      rejected: Shares of rejected images, ascending from 0, float [N].
      errors: Error rates on the other images, float [N].
    """

    rejected: np.ndarray
    errors: np.ndarray

    def rejected_for(self, error: float = 0.005) -> float:
        """Returns the smallest share of images to reject for an error; 1 if no share gives it.

        Args:
          error: Largest share of incorrect predictions, 0.5 % in figure 10.
        """
        low = np.flatnonzero(self.errors <= error)
        return float(self.rejected[low[0]]) if len(low) else 1.0


def rejection_curve(
    labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray
) -> RejectionCurve:
    """Returns the error when the least confident predictions are rejected, one after another.

    The paper's confidence is `margins` of the scores.

    Args:
      labels: True classes of the images, int [N].
      predicted: Predicted classes, int [N].
      confidence: Confidence of each prediction, float [N]; equal ones are rejected together.

    Raises:
      UserError: There are no images, or the arrays have different lengths.
    """
    count = len(labels)
    if not count or not count == len(predicted) == len(confidence):
        raise UserError(
            f"there are {count:,} labels, {len(predicted):,} predictions and {len(confidence):,} "
            "confidences; give the same number of each, at least one."
        )
    order = np.argsort(confidence, kind="stable")
    wrong, sorted_confidence = (labels != predicted)[order], confidence[order]
    rejected = np.concatenate([[0], 1 + np.flatnonzero(np.diff(sorted_confidence))])
    left = wrong[::-1].cumsum()[::-1][rejected]
    return RejectionCurve(rejected / count, left / (count - rejected))


def margins(scores: np.ndarray) -> np.ndarray:
    """Returns the differences of the two largest scores, the confidence in figure 10, float [N].

    Args:
      scores: Scores such as logits, float [N, classes] of at least two classes.
    """
    second, first = np.partition(scores, -2, axis=1)[:, -2:].T
    return np.asarray(first - second)
