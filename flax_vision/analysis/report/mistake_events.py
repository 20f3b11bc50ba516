"""TensorBoard images of a finished run's mistakes."""

from collections.abc import Sequence
from pathlib import Path

from flax_vision.analysis.report.figures.mistakes import most_confident
from flax_vision.analysis.report.predicted_images import PredictedImages
from flax_vision.training import tensorboard
from flax_vision.weights.run_files import Records


def write_mistake_events(
    path: Path, records: Records, tested: PredictedImages, class_names: Sequence[str]
) -> None:
    """Writes the most confident mistakes of a finished run, in place of earlier images.

    Args:
      path: Run directory.
      records: Records of its epochs, and its result.
      tested: Test images and their predictions.
      class_names: Names of all classes.

    Raises:
      OSError: The file cannot be written.
    """
    result = records[-1] if records else {}
    if not {"step", "test/top1"} <= result.keys():
        return
    labels, predicted = tested.images.labels, tested.predictions.predicted
    indices = most_confident(labels, predicted, tested.predictions.confidence)
    pixels = tested.pixels(indices) if len(indices) else ()
    images = {
        f"mistakes/{rank:02}_predicted_{class_names[predicted[i]]}_is_{class_names[labels[i]]}": x
        for rank, (i, x) in enumerate(zip(indices, pixels, strict=True), 1)
    }
    tensorboard.write_images(path, int(result["step"]), images)
