"""The sections about classes and calibration."""

import numpy as np

from flax_vision.analysis.report.class_sections import calibration, classes
from flax_vision.evaluation.class_metrics import NUM_BINS, ClassCounts


def bins(first, last):
    return np.array([first, *[0] * (NUM_BINS - 2), last])


COUNTS = ClassCounts(
    correct=np.array([1, 3]),
    support=np.array([2, 3]),
    predicted=np.array([1, 4]),
    bin_correct=bins(0, 4),
    bin_count=bins(1, 4),
    bin_confidence=bins(0.05, 3.9),
)


def test_classes_have_a_sortable_table():
    section = classes(COUNTS, ["a", "b"])
    assert "balanced accuracy, 75.00%. The mean F1 is the macro F1, 76.19%" in section.text
    assert '<table class="sortable">' in section.tables
    assert '<td>b</td><td class="number" data-sort="75.0">75.00</td>' in section.tables


def test_calibration_has_the_bins_with_images():
    section = calibration(COUNTS, "training")
    (drawn,) = section.figures
    assert drawn.alternative == (
        "Accuracy by confidence of 5 training images; expected calibration error 3.00%."
    )
    assert section.tables.count("<tr>") == 3
    assert "<td>93.3% to 100.0%</td>" in section.tables
    assert '<td class="number">97.50</td>' in section.tables
