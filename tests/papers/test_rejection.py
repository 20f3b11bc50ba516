import numpy as np
import pytest

from flax_vision.papers.rejection import rejected_share, rejection_curve

# Four images: certain and right, certain and wrong, uncertain and wrong, uncertain and right.
SCORES = np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.4, 0.5, 0.1], [0.25, 0.35, 0.4]])
LABELS = np.array([0, 0, 0, 2])


def test_uncertain_images_are_rejected_first():
    np.testing.assert_allclose(rejection_curve(SCORES, LABELS), [50, 200 / 3, 50, 0])


@pytest.mark.parametrize(("target", "share"), [(60, 0), (50, 0), (49, 75), (0, 75), (-1, 100)])
def test_share_of_rejections(target, share):
    assert rejected_share(rejection_curve(SCORES, LABELS), target) == share
