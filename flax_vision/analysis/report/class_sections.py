"""Builds the sections of a report about the classes and the calibration."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from flax_vision.analysis.report.figures.reliability import reliability
from flax_vision.analysis.report.html import Section, figure, table
from flax_vision.evaluation.class_metrics import NUM_BINS, ClassCounts


def classes(counts: ClassCounts, class_names: Sequence[str]) -> Section:
    """Returns precision, recall, F1 and number of images of each class.

    Args:
      counts: Counts of the tested images.
      class_names: Names of the classes.
    """
    text = (
        "Precision is the share of the predictions of a class that are correct. Recall is the "
        "share of the images of a class that are predicted correctly. F1 is their harmonic mean. "
        f"The mean recall is the balanced accuracy, {counts.balanced_accuracy:.2%}. The mean F1 is "
        f"the macro F1, {counts.macro_f1:.2%}. A click on a heading sorts the table."
    )
    return Section("Classes", text, tables=table(counts.table(class_names), is_sortable=True))


def calibration(counts: ClassCounts, kind: str = "test") -> Section:
    """Returns the reliability diagram.

    Args:
      counts: Counts of the tested images.
      kind: Word before "images", such as `"training"`.
    """
    images = int(np.sum(counts.bin_count))
    error = f"expected calibration error {counts.ece:.2%}"
    alternative = f"Accuracy by confidence of {images:,} {kind} images; {error}."
    drawn = figure("reliability", partial(reliability, counts), alternative)
    text = (
        "The confidence is the probability of the predicted class. A calibrated model is right on "
        "60% of the images with a confidence of 60%. The expected calibration error is the mean "
        f"difference between confidence and accuracy over {NUM_BINS} bins of equal width: "
        f"{counts.ece:.2%} (Guo et al. 2017)."
    )
    columns = (counts.bin_count, counts.bin_correct, counts.bin_confidence)
    rows = [
        {
            "confidence": f"{bin_number / NUM_BINS:.1%} to {(bin_number + 1) / NUM_BINS:.1%}",
            "images": int(number),
            "accuracy, %": float(100 * correct / number),
            "mean confidence, %": float(100 * confidence / number),
        }
        for bin_number, (number, correct, confidence) in enumerate(zip(*columns, strict=True))
        if number
    ]
    return Section("Calibration", text, [drawn], table(rows, "In numbers") if rows else "")
