import numpy as np

from flax_vision.analysis.report.figures.drawing import DARK
from flax_vision.analysis.report.figures.reliability import reliability
from flax_vision.evaluation.class_metrics import NUM_BINS, ClassCounts


def counts(bin_correct, bin_count):
    empty = np.zeros(NUM_BINS)
    return ClassCounts(empty, empty, empty, np.array(bin_correct), np.array(bin_count), empty)


def test_bars_are_accuracies_and_shares():
    bin_count = [2, *[0] * (NUM_BINS - 2), 6]
    upper, lower = reliability(counts([1, *[0] * (NUM_BINS - 2), 6], bin_count)).axes
    assert [bar.get_height() for bar in upper.patches] == [0.5, *[0] * (NUM_BINS - 2), 1]
    assert [bar.get_height() for bar in lower.patches] == [0.25, *[0] * (NUM_BINS - 2), 0.75]
    centers = [bar.get_x() + bar.get_width() / 2 for bar in upper.patches]
    np.testing.assert_allclose(centers, (np.arange(NUM_BINS) + 0.5) / NUM_BINS)


def test_no_images_and_dark_colors():
    picture = reliability(counts([0] * NUM_BINS, [0] * NUM_BINS), DARK)
    assert picture.png().startswith(b"\x89PNG")
