import numpy as np
import pytest

from flax_vision.analysis.rejection import RejectionCurve, margins, rejection_curve
from flax_vision.errors import UserError


def test_curve_rejects_the_least_confident_first():
    labels, predicted = np.array([0, 1, 2, 3]), np.array([0, 1, 0, 0])
    curve = rejection_curve(labels, predicted, np.array([0.9, 0.2, 0.1, 0.5]))
    np.testing.assert_allclose(curve.rejected, [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(curve.errors, [1 / 2, 1 / 3, 1 / 2, 0])


def test_equal_confidences_are_rejected_together():
    labels, predicted = np.array([0, 1, 2, 3]), np.array([1, 1, 2, 3])
    curve = rejection_curve(labels, predicted, np.array([0.5, 0.5, 0.5, 0.7]))
    np.testing.assert_allclose(curve.rejected, [0, 0.75])
    np.testing.assert_allclose(curve.errors, [0.25, 0])


def test_share_to_reject():
    curve = RejectionCurve(np.array([0, 0.1, 0.2]), np.array([0.3, 0.005, 0.01]))
    assert curve.rejected_for() == 0.1
    assert curve.rejected_for(0.4) == 0
    assert curve.rejected_for(0) == 1


def test_margins():
    scores = np.array([[1.0, 4.0, 2.5], [-3.0, -1.0, -1.0]])
    np.testing.assert_array_equal(margins(scores), [1.5, 0])


@pytest.mark.parametrize(("labels", "message"), [([], "0 labels"), ([1, 2], "2 labels, 0 pred")])
def test_error_for_other_lengths(labels, message):
    empty = np.zeros(0)
    with pytest.raises(UserError, match=message):
        rejection_curve(np.array(labels), empty, empty)
