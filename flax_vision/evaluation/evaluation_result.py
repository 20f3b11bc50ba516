"""The result of an evaluation: accuracies and the predictions for all images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flax_vision.data.dataset import Dataset
from flax_vision.evaluation.class_metrics import ClassCounts
from flax_vision.evaluation.evaluator import Predictions


@dataclass(frozen=True)
class UnreadableImage:
    """An image of a split that cannot be read.

    Attributes:
      index: Position in the split.
      label: True class.
      reason: Reason why it cannot be read.
    """

    index: int
    label: int
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
      model: Name of the model.
      data: Name of the dataset, or path of the image folder.
      split: Split of the dataset.
      protocol: Test protocol.
      scales: Shorter sides of the resized images; empty for `"center"`.
      top1: Share of the images whose class had the largest output, 0 to 1.
      top5: Share of the images whose class had one of the five largest outputs; None for five
        classes or fewer.
      cross_entropy: Mean of -log of the true class's probability, for any training loss.
      images: Number of readable images.
      crops: Number of crops of each image, identical ones included.
      crops_computed: Largest number of different crops of an image.
      seconds: Duration of the test, with reading of the images and without compilation.
      compile_seconds: Duration of compilation.
      class_names: Names of the classes.
      labels: int32 [images], the true classes.
      predicted: int32 [images], the predicted classes.
      confidence: float32 [images], the probabilities of the predicted classes.
      top_classes: int32 [images, top], the most probable classes in descending order.
      top_probabilities: float32 [images, top], their probabilities.
      indices: int [images], positions of the readable images in the split.
      paths: Paths of all files of the split, relative to the folder; empty for other images.
      unreadable: Unreadable images of the split.
      counts: Counts by class and by bin of confidence.
      warnings: Reasons to doubt the result.
    """

    model: str
    data: str
    split: str
    protocol: str
    scales: tuple[int, ...]
    top1: float
    top5: float | None
    cross_entropy: float
    images: int
    crops: int
    crops_computed: int
    seconds: float
    compile_seconds: float
    class_names: Sequence[str]
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    top_classes: np.ndarray
    top_probabilities: np.ndarray
    indices: np.ndarray
    paths: Sequence[str]
    unreadable: Sequence[UnreadableImage]
    counts: ClassCounts
    warnings: Sequence[str]

    @property
    def images_per_second(self) -> float:
        """Images per second."""
        return self.images / self.seconds

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes with images, 0 to 1."""
        return self.counts.balanced_accuracy

    @property
    def f1(self) -> float:
        """Macro F1: the mean F1 of the classes with images or predictions, 0 to 1."""
        return self.counts.macro_f1

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1."""
        return self.counts.ece

    @property
    def majority_share(self) -> float:
        """Share of the largest class among the images, 0 to 1."""
        return self.counts.majority_share


def prediction_facts(predictions: Predictions, images: Dataset) -> dict[str, Any]:
    """Returns the fields of an Evaluation about the predictions for its images.

    Raises:
      UserError: No image is readable.
    """
    averages, is_readable = predictions.totals.averages(), predictions.predicted >= 0
    return {
        "top1": averages["top1"],
        "top5": averages.get("top5"),
        "cross_entropy": averages["loss"],
        "images": int(is_readable.sum()),
        "labels": images.labels[is_readable],
        "predicted": predictions.predicted[is_readable],
        "confidence": predictions.confidence[is_readable],
        "top_classes": predictions.top_classes[is_readable],
        "top_probabilities": predictions.top_probabilities[is_readable],
        "indices": np.flatnonzero(is_readable),
        "counts": predictions.totals.classes,
    }
