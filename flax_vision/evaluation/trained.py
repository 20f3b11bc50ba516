"""A trained network, tested as its paper did."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flax_vision.data.image_set import ImageSet, Report
from flax_vision.errors import UserError
from flax_vision.evaluation.evaluate import evaluate
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.subject import (
    check_fit,
    find_source,
    load_split,
    other_names,
    run_configuration,
)
from flax_vision.evaluation.trial import Trial, prepare
from flax_vision.weights import exported


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
      images: number of them.
      views: of each image, those that coincide included.
      views_computed: those that do not.
      seconds: that the images took, without compiling.
      compile_seconds: what that took.
      class_names: of the classes.
      labels: int32 [images], their classes.
      taken_for: int32 [images], the classes that the network gave them.
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
    taken_for: np.ndarray
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
    scales: tuple[int, ...] | None = None,
    flip: bool = True,
    batch_size: int | None = None,
    report: Report = lambda what, done, total: None,
) -> Evaluation:
    """Tests what training, or an import, left behind.

    Args:
      path: a run directory, or an export.
      protocol: one of `protocols.NAMES`.
      split: `"train"`, `"validation"` or `"test"`.
      data: name of a data set with the same classes; None for the run's own.
      directory: where TFDS keeps its sets; None for where the run found its own.
      scales: shorter sides that images are brought to; None for the paper's, in proportion to the
        size that the network was trained on.
      flip: shows mirror images besides, where the protocol has them.
      batch_size: images in a step; None for what memory allows. It changes the result by rounding
        at the most.
      report: called with what is being done, how much of it is, and how much there is; 0 where
        that is not known.

    Raises:
      UserError: the network, the data and the protocol do not fit together.
    """
    path = Path(path)
    card = exported.load_card(path)
    # On images as in training, so that what is wrong with the protocol is said before any is read.
    prepare(card, protocol, tuple(card.image_shape), scales, flip)
    source = find_source(path, data, directory)
    image_set = load_split(source, split, report)
    check_fit(card, image_set, source.name)
    trial = prepare(card, protocol, image_set.images.shape[1:], scales, flip)
    batch_size = min(batch_size or trial.batch_size, len(image_set))
    _, variables = exported.load(path)
    try:
        measured = _measure(trial, jax.device_put(variables), image_set, batch_size, report)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise UserError(
                f"{card.name} does not fit into memory with {batch_size:,} images in a step; give"
                " a smaller --batch-size, or smaller --scales."
            ) from error
        raise
    warnings = other_names(card, image_set, source.name), _unseen(path, trial)
    return Evaluation(
        network=card.name,
        data=source.name,
        split=split,
        protocol=protocol,
        scales=trial.sides,
        images=len(image_set),
        views=trial.views_per_image,
        views_computed=len(trial.views or [None]),
        class_names=card.class_names,
        labels=image_set.labels,
        warnings=[text for text in warnings if text],
        **measured,
    )


def _measure(
    trial: Trial, variables: Any, image_set: ImageSet, batch_size: int, report: Report
) -> dict[str, Any]:
    """Returns what the images show, and how long it took."""
    started = time.monotonic()
    report("compiling", 0, 0)
    step = trial.compile(variables, batch_size)
    compiled = time.monotonic()
    classes: list[jax.Array] = []

    def counted(variables: Any, batch: Any) -> Any:
        totals, taken_for = step(variables, batch)
        classes.append(taken_for)
        return totals

    def wait() -> None:
        # The step before is over, and this one's images are there: what is reported is done.
        if classes:
            classes[-1].block_until_ready()
        report(f"testing {trial.card.name}", len(classes) * batch_size, len(image_set))

    averages = evaluate(counted, variables, image_set, batch_size, wait)
    seconds = time.monotonic() - compiled
    return {
        "top1": averages["top1"],
        "top5": averages["top5"] if len(image_set.class_names) > 5 else None,
        "cross_entropy": averages["loss"],
        "seconds": seconds,
        "compile_seconds": compiled - started,
        "taken_for": np.concatenate(jax.device_get(classes))[: len(image_set)],
    }


def _unseen(path: Path, trial: Trial) -> str:
    """Returns a warning where a network is shown mirror images and never was in training."""
    flips = any(view.flip for view in trial.views or ())
    if flips and not run_configuration(path).get("augmentation", {}).get("flip", True):
        return (
            "this network was trained without mirror images (augmentation.flip is False), and half "
            "of the views are mirrored; --no-flip leaves them out"
        )
    return ""
