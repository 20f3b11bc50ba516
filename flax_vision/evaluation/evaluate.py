"""Evaluation of a saved model under a paper's test protocol."""

from collections.abc import Callable, Mapping, Sequence
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
from flax_vision.evaluation.data_options import DataOptions
from flax_vision.evaluation.data_warnings import class_names_warning, data_warning
from flax_vision.evaluation.evaluation_result import Evaluation, UnreadableImage, prediction_facts
from flax_vision.evaluation.evaluator import Predictions, ProtocolEvaluator, build_evaluator
from flax_vision.evaluation.grouping import BuildFn, ShapeGroup, predict_groups
from flax_vision.evaluation.host_crops import host_crop_groups
from flax_vision.evaluation.precise_bn import check_samples, with_precise_statistics
from flax_vision.evaluation.protocols import CENTER
from flax_vision.runtime.files import to_path
from flax_vision.weights.loading import load_model
from flax_vision.weights.saved_model import LoadedModel, ModelMetadata


@dataclass(frozen=True)
class EvalSettings:
    """Settings of an evaluation that do not depend on the model.

    Attributes:
      protocol: One of `protocols.NAMES`.
      split: `"train"`, `"validation"` or `"test"`.
      scales: Shorter sides of the resized images; None for the protocol's.
      flip: Whether to add mirror images, if the protocol has them.
      batch_size: Number of images in a step; None for as many as memory allows.
      top: Number of most probable classes of each image in the result.
      has_posteriors: Whether the predictions have the probabilities of all classes.
      has_hints: Whether to compare the background of the images with the training images.
    """

    protocol: str = CENTER
    split: str = "test"
    scales: tuple[int, ...] | None = None
    flip: bool = True
    batch_size: int | None = None
    top: int = 0
    has_posteriors: bool = False
    has_hints: bool = False

    def build(self, metadata: ModelMetadata, image_shape: tuple[int, ...]) -> ProtocolEvaluator:
        """Returns the evaluator of a model for images of one shape.

        Raises:
          UserError: The protocol does not fit the model or the images.
        """
        return build_evaluator(
            metadata,
            self.protocol,
            image_shape,
            self.scales,
            self.flip,
            self.top,
            self.has_posteriors,
        )


def evaluate(
    path: str | Path,
    *,
    protocol: str = CENTER,
    split: str = "test",
    scales: tuple[int, ...] | None = None,
    flip: bool = True,
    batch_size: int | None = None,
    top: int = 0,
    precise_bn_samples: int = 0,
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
      precise_bn_samples: Number of training images whose statistics replace the running averages of
        batch normalization; 0 for none. See `with_precise_statistics`.
      on_progress: Function that gets a text, the items done and their number; 0 for an unknown
        number.
      on_warning: Function that gets each warning at once, mostly before the test begins.
      **options: Other images than the run's, as in `DataOptions`.

    Raises:
      UserError: The model, the data and the protocol do not fit together.
    """
    path, loaded = to_path(path), load_model(path)
    settings = EvalSettings(
        protocol, split, scales, flip, batch_size, top, has_hints=has_other_images(options)
    )
    # Building it for the training images reports errors of the protocol before images are read.
    settings.build(loaded.metadata, tuple(loaded.metadata.image_shape))
    check_samples(precise_bn_samples, path, loaded.metadata)
    source, images = run_data.load_images(path, loaded.metadata, split, on_progress, **options)
    loaded = with_precise_statistics(path, loaded, precise_bn_samples, on_progress, **options)
    subject = path, loaded, source, images
    return evaluate_images(*subject, settings, on_progress, on_warning)[0]


def has_other_images(options: Mapping[str, Any]) -> bool:
    """Returns whether `DataOptions` name other images than the run's."""
    data = options.get("data")
    has_data = bool(data) if isinstance(data, str) else data is not None
    return has_data or bool(options.get("image_dir"))


def evaluate_images(
    path: Path,
    loaded: LoadedModel,
    source: Source,
    images: Dataset,
    settings: EvalSettings,
    on_progress: ProgressFn,
    on_warning: Callable[[str], None],
) -> tuple[Evaluation, Predictions]:
    """Evaluates a loaded model on loaded images.

    Args:
      path: Export or run directory of the model.
      loaded: The model.
      source: Source of the images.
      images: The images.
      settings: Protocol and other settings.
      on_progress: Function as in `evaluate`.
      on_warning: Function as in `evaluate`.

    Returns:
      The result, and the predictions in the order of the images.

    Raises:
      UserError: The model does not accept the images, or none is readable.
    """
    metadata, _, variables, note = loaded
    evaluator = settings.build(metadata, tuple(metadata.image_shape))
    warnings = _Warnings(on_warning)
    warnings.add(note, *images.warnings)
    warnings.add(class_names_warning(metadata, images, source.name))
    warnings.add(_flip_warning(path, evaluator))
    warnings.add(data_warning(path, source, settings.split, images))
    groups = _groups(images, evaluator, partial(settings.build, metadata), on_progress)
    predictions, times = predict_groups(groups, variables, settings.batch_size, on_progress)
    warnings.add(unreadable_warning([group.images for group in groups]))
    if metadata.background and settings.has_hints:
        warnings.add(background_hint(sample_edge_levels(images, on_progress), metadata.background))
    evaluation = Evaluation(
        split=settings.split,
        protocol=settings.protocol,
        warnings=warnings,
        **_facts(evaluator, groups, images, source),
        **prediction_facts(predictions, images),
        **times._asdict(),
    )
    return evaluation, predictions


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
    images: Dataset,
    source: Source,
) -> dict[str, Any]:
    """Returns the fields of an Evaluation about the model, its crops and the images."""
    return {
        "model": evaluator.metadata.name,
        "data": source.image_dir if source.name == "folder" else source.name,
        "paths": relative_paths(images, source.image_dir),
        "class_names": evaluator.metadata.class_names,
        "scales": evaluator.scales,
        "crops": evaluator.crops.total() or 1,
        "crops_computed": max(group.crops_computed for group in groups),
        "unreadable": _unreadable(groups, images.labels),
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
