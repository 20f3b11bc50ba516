"""A trained network, tested as its paper did."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flax_vision.data.background import background_hint, sample_edge_levels
from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.data.image_files import ImageFileDataset
from flax_vision.data.splits import unreadable_warning
from flax_vision.evaluation.evaluator import ProtocolEvaluator, prepare
from flax_vision.evaluation.grouping import (
    ShapeGroup,
    as_they_are,
    in_their_proportions,
    middle_squares,
)
from flax_vision.evaluation.host_crops import cut_up
from flax_vision.evaluation.measurement import Measurement, measure
from flax_vision.evaluation.metrics import has_top5
from flax_vision.evaluation.protocols import CENTER, PROTOCOLS
from flax_vision.evaluation.run_data import (
    check_fit,
    find_source,
    has_moved,
    have_changed,
    load_split,
    other_names,
    run_configuration,
)
from flax_vision.runtime.paths import to_path
from flax_vision.weights.loading import load_model
from flax_vision.weights.model_metadata import ModelMetadata


@dataclass(frozen=True)
class Evaluation:
    """How well a network did.

    Attributes:
      network: its name.
      data: name of the data set.
      split: part of it.
      protocol: under which it was tested.
      scales: shorter sides that the images were brought to; empty under `"center"`.
      top1: share of the images whose class had the largest output, 0 to 1.
      top5: whose class was among the five largest; None where there are no more than five.
      cross_entropy: mean of -log of the right class's posterior, whatever the network was trained
        with.
      images: number of them that could be read.
      views: of each image, those that coincide included.
      views_computed: those that do not, of the images that have the most.
      seconds: that the images took, without compiling; reading them is part of it.
      compile_seconds: what that took.
      class_names: of the classes.
      labels: int32 [images], their classes.
      predicted: int32 [images], the classes that the network gave them.
      warnings: what makes the result doubtful.
    """

    network: str
    data: str
    split: str
    protocol: str
    scales: tuple[int, ...]
    top1: float
    top5: float | None
    cross_entropy: float
    images: int
    views: int
    views_computed: int
    seconds: float
    compile_seconds: float
    class_names: Sequence[str]
    labels: np.ndarray
    predicted: np.ndarray
    warnings: Sequence[str]

    @property
    def images_per_second(self) -> float:
        """Images in each second."""
        return self.images / self.seconds


def evaluate_trained(
    path: str | Path,
    *,
    protocol: str = CENTER,
    split: str = "test",
    data: str | None = None,
    directory: str | None = None,
    folder: str | None = None,
    on_error: Literal["stop", "skip"] | None = None,
    max_pixels: int | None = None,
    scales: tuple[int, ...] | None = None,
    flip: bool = True,
    batch_size: int | None = None,
    on_progress: ProgressFn = lambda what, done, total: None,
    on_warning: Callable[[str], None] = lambda warning: None,
) -> Evaluation:
    """Tests what training, or an import, left behind.

    Args:
      path: An export, or a run directory; an unfinished run gives its best checkpoint.
      protocol: one of `protocols.NAMES`.
      split: `"train"`, `"validation"` or `"test"`.
      data: name of a data set with the same classes; None for the run's own.
      directory: where TFDS keeps its sets; None for where the run found its own.
      folder: of photographs, to be tested in place of a named set; all of it where it has no
        `train` in it.
      on_error: whether a photograph that cannot be read is an error, or is left out and named in
        a warning; None for as in the run.
      max_pixels: Bound on the pixels of a photograph; None for the run's.
      scales: shorter sides that images are brought to; None for the paper's, in proportion to the
        size that the network was trained on.
      flip: shows mirror images besides, where the protocol has them.
      batch_size: images in a step; None for what memory allows. It changes the result by rounding
        at the most.
      on_progress: called with what is being done, how much of it is, and how much there is; 0 where
        that is not known.
      on_warning: Function that gets each warning at once, mostly before the test begins.

    Raises:
      UserError: the network, the data and the protocol do not fit together.
    """
    path = to_path(path)
    loaded = load_model(path)
    metadata, variables = loaded.metadata, loaded.variables
    prepared = partial(prepare, metadata, protocol, scales=scales, flip=flip)
    # On images as in training, so that what is wrong with the protocol is said before any is read.
    trial = prepared(tuple(metadata.image_shape))
    source = find_source(path, metadata, data, directory, folder, on_error, max_pixels)
    image_set = load_split(source, split, on_progress)
    check_fit(metadata, image_set, source.name)
    warnings: list[str] = []

    def warn(*texts: str) -> None:
        for text in filter(None, texts):
            warnings.append(text)
            on_warning(text)

    warn(loaded.note, *image_set.warnings)
    warn(other_names(metadata, image_set, source.name), _unseen(path, trial))
    warn(has_moved(path, source), have_changed(path, source, split, image_set))
    showings = _shown(image_set, protocol, trial, prepared, on_progress)
    measured = measure(showings, variables, batch_size, on_progress)
    warn(unreadable_warning([showing.images for showing in showings]))
    if data or folder:
        warn(_background_hint(metadata, image_set, on_progress))
    return Evaluation(
        network=metadata.name,
        data=source.image_dir if source.name == "folder" else source.name,
        split=split,
        protocol=protocol,
        scales=trial.sides,
        views=trial.crops_per_image,
        views_computed=max(showing.computed for showing in showings),
        class_names=metadata.class_names,
        warnings=warnings,
        **_result(measured, image_set),
    )


def _shown(
    image_set: Dataset,
    protocol: str,
    trial: ProtocolEvaluator,
    prepared: Callable[[tuple[int, ...]], ProtocolEvaluator],
    on_progress: ProgressFn,
) -> list[ShapeGroup]:
    """Returns what the network is shown of a set; `trial` has the scales."""
    if protocol == CENTER or not isinstance(image_set, ImageFileDataset):
        return as_they_are(image_set, prepared)
    # They are decoded at the largest scale, and brought to the others on the device.
    side, chosen = max(trial.sides), PROTOCOLS[protocol]
    if chosen.of_middle:
        return middle_squares(image_set, side, prepared)
    if chosen.is_dense:
        return in_their_proportions(image_set, side, prepared, on_progress)
    return [cut_up(image_set, chosen, trial, on_progress)]


def _result(measured: Measurement, image_set: Dataset) -> dict[str, Any]:
    """Returns what was measured, of the images that could be read."""
    is_read = measured.predicted >= 0
    return {
        "top1": measured.averages["top1"],
        "top5": measured.averages["top5"] if has_top5(len(image_set.class_names)) else None,
        "cross_entropy": measured.averages["loss"],
        "images": int(is_read.sum()),
        "seconds": measured.seconds,
        "compile_seconds": measured.compile_seconds,
        "labels": image_set.labels[is_read],
        "predicted": measured.predicted[is_read],
    }


def _background_hint(metadata: ModelMetadata, images: Dataset, on_progress: ProgressFn) -> str:
    """Returns a hint if the background is not that of the training images, else nothing."""
    if metadata.background is None:
        return ""
    return background_hint(sample_edge_levels(images, on_progress), metadata.background)


def _unseen(path: Path, trial: ProtocolEvaluator) -> str:
    """Returns a warning where a network is shown mirror images and never was in training."""
    if trial.has_flips and not run_configuration(path).get("augmentation", {}).get("flip", True):
        return (
            "this network was trained without mirror images (augmentation.flip is False), and half "
            "of the views are mirrored; --no-flip leaves them out"
        )
    return ""
