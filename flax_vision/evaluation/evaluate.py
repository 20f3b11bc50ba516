"""Evaluation of a saved model under a paper's test protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from flax_vision.data.background import background_hint, sample_edge_levels
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.data.split_record import relative_paths
from flax_vision.data.splits import Source, unreadable_warning
from flax_vision.evaluation import grouping, run_data
from flax_vision.evaluation.class_metrics import ClassCounts
from flax_vision.evaluation.data_options import DataOptions
from flax_vision.evaluation.data_warnings import class_names_warning, data_warning
from flax_vision.evaluation.evaluator import Predictions, ProtocolEvaluator, build_evaluator
from flax_vision.evaluation.grouping import BuildFn, ShapeGroup, predict_groups
from flax_vision.evaluation.host_crops import host_crop_groups
from flax_vision.evaluation.protocols import CENTER
from flax_vision.runtime.files import to_path
from flax_vision.weights.loading import load_model


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
      scales: Shorter sides of the resized images; empty under `"center"`.
      top1: Share of the images whose class had the largest output, 0 to 1.
      top5: Share of the images whose class had one of the five largest outputs; None for five
        classes or fewer.
      cross_entropy: Mean of -log of the true class's probability, for any training loss.
      images: Number of readable images.
      crops: Number of crops of each image, identical ones included.
      crops_computed: Largest number of different crops of an image.
      seconds: Seconds of the test, with reading the images but without compilation.
      compile_seconds: Seconds of compilation.
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
        """Number of images in each second."""
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


def evaluate(
    path: str | Path,
    *,
    protocol: str = CENTER,
    split: str = "test",
    scales: tuple[int, ...] | None = None,
    flip: bool = True,
    batch_size: int | None = None,
    top: int = 0,
    on_progress: ProgressFn = lambda what, done, total: None,
    on_warning: Callable[[str], None] = lambda warning: None,
    **options: Unpack[DataOptions],
) -> Evaluation:
    """Evaluates a trained or imported model.

    Args:
      path: An export, or a run directory; an unfinished run gives its best checkpoint.
      protocol: One of `protocols.NAMES`.
      split: `"train"`, `"validation"` or `"test"`.
      scales: Shorter sides of the resized images; None for the paper's, in proportion to the
        training size.
      flip: Whether to add mirror images, if the protocol has them.
      batch_size: Number of images in a step; None for as many as memory allows. It changes the
        result by rounding at most.
      top: Number of most probable classes of each image in the result.
      on_progress: Function that gets a text, the items done and their number; 0 for an unknown
        number.
      on_warning: Function that gets each warning at once, mostly before the test begins.
      **options: Choice of other images than the run's, as in `DataOptions`.

    Raises:
      UserError: The model, the data and the protocol do not fit together.
    """
    path = to_path(path)
    metadata, _, variables, note = load_model(path)
    build = partial(build_evaluator, metadata, protocol, scales=scales, flip=flip, top=top)
    # Building it for the training images reports errors of the protocol before images are read.
    evaluator = build(tuple(metadata.image_shape))
    source, images = run_data.load_images(path, metadata, split, on_progress, **options)
    warnings = _Warnings(on_warning)
    warnings.add(note, *images.warnings)
    warnings.add(class_names_warning(metadata, images, source.name))
    warnings.add(_flip_warning(path, evaluator), data_warning(path, source, split, images))
    groups = _groups(images, evaluator, build, on_progress)
    predictions, times = predict_groups(groups, variables, batch_size, on_progress)
    warnings.add(unreadable_warning([group.images for group in groups]))
    if metadata.background and (options.get("data") or options.get("image_dir")):
        warnings.add(background_hint(sample_edge_levels(images, on_progress), metadata.background))
    facts = _facts(evaluator, groups, predictions, images, source) | times._asdict()
    return Evaluation(split=split, protocol=protocol, warnings=warnings, **facts)


class _Warnings(list[str]):
    """Warnings, each reported at once."""

    def __init__(self, on_warning: Callable[[str], None]) -> None:
        self._on_warning = on_warning

    def add(self, *texts: str) -> None:
        """Adds the texts that are not empty."""
        for text in filter(None, texts):
            self.append(text)
            self._on_warning(text)


def _facts(
    evaluator: ProtocolEvaluator,
    groups: Sequence[ShapeGroup],
    predictions: Predictions,
    images: Dataset,
    source: Source,
) -> dict[str, Any]:
    """Returns the fields of an Evaluation about the model, its crops and the images."""
    averages, is_readable = predictions.totals.averages(), predictions.predicted >= 0
    return {
        "model": evaluator.metadata.name,
        "data": source.image_dir if source.name == "folder" else source.name,
        "paths": relative_paths(images, source.image_dir),
        "class_names": evaluator.metadata.class_names,
        "scales": evaluator.scales,
        "crops": evaluator.crops.total() or 1,
        "crops_computed": max(group.crops_computed for group in groups),
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
        "unreadable": _unreadable(groups, images.labels),
        "counts": predictions.totals.classes,
    }


def _unreadable(groups: Sequence[ShapeGroup], labels: np.ndarray) -> list[UnreadableImage]:
    """Returns the skipped images, sorted by their position in the split."""
    reasons = {
        int(group.indices[index]): reason
        for group in groups
        if isinstance(group.images, ImageFileDataset)
        for index, reason in group.images.skipped.items()
    }
    return [UnreadableImage(x, int(labels[x]), reason) for x, reason in sorted(reasons.items())]


def _groups(
    images: Dataset, evaluator: ProtocolEvaluator, build: BuildFn, on_progress: ProgressFn
) -> Sequence[ShapeGroup]:
    """Returns the images by shape; `evaluator` has the protocol and its scales."""
    if evaluator.protocol is None or not isinstance(images, ImageFileDataset):
        return grouping.whole_images(images, build)
    # Images are decoded at the largest scale; the device resizes them to the others.
    scale = max(evaluator.scales)
    if evaluator.protocol.center_square:
        return grouping.center_crops(images, scale, build)
    if evaluator.protocol.is_dense:
        return grouping.aspect_groups(images, scale, build, on_progress)
    return host_crop_groups(images, evaluator, on_progress)


def _flip_warning(path: Path, evaluator: ProtocolEvaluator) -> str:
    """Returns a warning if a model trained without mirror images gets some, else nothing."""
    was_flipped = run_data.run_config(path).get("augmentation", {}).get("flip", True)
    if was_flipped or not evaluator.has_flips:
        return ""
    return (
        "this model was trained without mirror images (augmentation.flip is False), and half of "
        "the crops are mirrored; --no-flip leaves them out"
    )
