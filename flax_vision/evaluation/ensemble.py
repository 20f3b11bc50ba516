"""Ensembles: posteriors averaged over models and over test protocols.

Krizhevsky et al. 2012 (section 6.1), Szegedy et al. 2014 (section 7) and He et al. 2015 (table 5)
average over models. Simonyan and Zisserman 2014 (table 5) average over protocols.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Unpack

import jax
import numpy as np

from flax_vision.data.dataset import Dataset, ProgressFn
from flax_vision.evaluation import members
from flax_vision.evaluation.evaluate import EvalSettings, evaluate_images, has_other_images
from flax_vision.evaluation.evaluation_result import Evaluation, prediction_facts
from flax_vision.evaluation.evaluator import Predictions, score_batch
from flax_vision.evaluation.grouping import merge_predictions
from flax_vision.evaluation.members import MemberImages
from flax_vision.evaluation.precise_bn import (
    check_samples,
    updated_layers,
    with_precise_statistics,
)
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.run_data import DataOptions
from flax_vision.weights.loading import load_model
from flax_vision.weights.saved_model import LoadedModel

_score_batch = jax.jit(score_batch, static_argnames="top")
_ROWS = 1024
"""Number of images to score at once."""


class EnsembleMember(NamedTuple):
    """One model of an ensemble under one protocol.

    Attributes:
      path: Export or run directory of the model.
      evaluation: Its own result.
    """

    path: Path
    evaluation: Evaluation


class EnsembleEvaluation(NamedTuple):
    """The result of an ensemble.

    Attributes:
      average: Result of the mean posteriors.
      members: Results of each model under each protocol.
    """

    average: Evaluation
    members: Sequence[EnsembleMember]


class PosteriorMean:
    """Mean of posteriors over models.

    It is stored as logarithms: small probabilities would underflow in float32.

    Attributes:
      count: Number of added models.
      is_readable: bool [N], whether all models have a posterior of the image; None before the
        first model.
    """

    def __init__(self) -> None:
        self.count = 0
        self.is_readable: np.ndarray | None = None
        self._log_sum: np.ndarray | None = None

    def add(self, predictions: Predictions) -> None:
        """Adds the posteriors of a model, float32 [N, classes].

        The array of the first model is overwritten with the sum.
        """
        self.count += 1
        is_readable, posteriors = predictions.predicted >= 0, predictions.log_posteriors
        if self._log_sum is None or self.is_readable is None:
            self.is_readable, self._log_sum = is_readable, posteriors
        else:
            self.is_readable = self.is_readable & is_readable
            np.logaddexp(self._log_sum, posteriors, out=self._log_sum)

    def log_mean(self) -> np.ndarray:
        """Returns the logs of the mean posteriors, float32 [N, classes].

        Raises:
          ValueError: No model was added.
        """
        if self._log_sum is None:
            raise ValueError("no model was added")
        return self._log_sum - np.float32(np.log(self.count))


def evaluate_ensemble(
    paths: Sequence[str | Path],
    *,
    protocols: Sequence[str] = (CENTER,),
    split: str = "test",
    scales: tuple[int, ...] | None = None,
    flip: bool = True,
    batch_size: int | None = None,
    top: int = 0,
    precise_bn_samples: int = 0,
    on_progress: ProgressFn = lambda what, done, total: None,
    on_warning: Callable[[str], None] = lambda warning: None,
    **options: Unpack[DataOptions],
) -> EnsembleEvaluation:
    """Evaluates the mean posteriors of several models, or of one model under several protocols.

    Each model has its own preprocessing and image size. All need the same classes and images. They
    are checked first; then one model at a time is on the device.

    ```python
    result = evaluate_ensemble(["runs/a", "runs/b", "runs/c"])
    print(result.average.top1, [member.evaluation.top1 for member in result.members])
    ```

    Args:
      paths: Exports, or run directories.
      protocols: Some of `protocols.NAMES`; each model is tested under each of them.
      split: `"train"`, `"validation"` or `"test"`.
      scales: Shorter sides of the resized images; None for those of each protocol.
      flip: Whether to add mirror images, if the protocol has them.
      batch_size: Number of images in a step; None for as many as memory allows.
      top: Number of most probable classes of each image in the result.
      precise_bn_samples: Number of training images for batch normalization, as in `evaluate`; it
        has no effect on models without it.
      on_progress: Function that gets a text, the items done and their number.
      on_warning: Function that gets each warning at once.
      **options: Other images than the runs', as in `DataOptions`.

    Raises:
      UserError: A model is missing or damaged, or models, images and protocols do not match.
    """
    checked = members.check_paths(paths)
    common = split, scales, flip, batch_size, top, True, has_other_images(options)
    settings = [EvalSettings(name, *common) for name in members.check_protocols(protocols)]
    models = members.load_members(checked, partial(_checked, settings=settings))
    _check_samples(precise_bn_samples, checked, models)
    images = members.load_common_images(checked, models, split, on_progress, **options)
    common_settings = settings, precise_bn_samples, on_progress, on_warning
    mean, results = _evaluate_members(images, *common_settings, options)
    return EnsembleEvaluation(_average(mean, results, images[0].images, top), results)


def _evaluate_members(
    members: Sequence[MemberImages],
    all_settings: Sequence[EvalSettings],
    precise_bn_samples: int,
    on_progress: ProgressFn,
    on_warning: Callable[[str], None],
    options: DataOptions,
) -> tuple[PosteriorMean, list[EnsembleMember]]:
    """Evaluates one model after the other under each protocol."""
    mean = PosteriorMean()
    results: list[EnsembleMember] = []
    total = len(members) * len(all_settings)
    for path, source, images in members:
        on_member = partial(_report_member, on_progress, len(results) + 1, total)
        loaded = load_model(path)
        loaded = with_precise_statistics(path, loaded, precise_bn_samples, on_member, **options)
        for settings in all_settings:
            on_member = partial(_report_member, on_progress, len(results) + 1, total)
            functions = on_member, partial(_warn, on_warning, path)
            result = evaluate_images(path, loaded, source, images, settings, *functions)
            mean.add(result[1])
            results.append(EnsembleMember(path, result[0]))
        del loaded  # frees the device before the next model is loaded
    return mean, results


def _checked(loaded: LoadedModel, settings: Sequence[EvalSettings]) -> LoadedModel:
    """Returns the model without its weights; raises a UserError if a protocol does not fit it."""
    for each in settings:
        each.build(loaded.metadata, tuple(loaded.metadata.image_shape))
    return loaded._replace(variables=None)


def _check_samples(samples: int, paths: Sequence[Path], models: Sequence[LoadedModel]) -> None:
    """Raises a UserError if no model can have precise statistics."""
    pairs = [(path, model.metadata) for path, model in zip(paths, models, strict=True)]
    if samples <= 0 or not any(updated_layers(*pair) for pair in pairs):
        check_samples(samples, *pairs[0])


def _report_member(
    on_progress: ProgressFn, number: int, total: int, what: str, done: int, count: int
) -> None:
    on_progress(f"{number} of {total}: {what}", done, count)


def _warn(on_warning: Callable[[str], None], path: Path, text: str) -> None:
    on_warning(f"{path}: {text}")


def score_posteriors(
    log_posteriors: np.ndarray, labels: np.ndarray, is_readable: np.ndarray, top: int = 0
) -> Predictions:
    """Returns the predictions for a set from its posteriors.

    Args:
      log_posteriors: Logs of probabilities, float32 [N, classes].
      labels: int32 [N].
      is_readable: bool [N], False for images that do not count.
      top: Number of most probable classes to return, limited to all classes.

    Raises:
      UserError: No image is readable.
    """
    count, classes = log_posteriors.shape
    size, results = min(count, _ROWS), []
    for start in range(0, count, size):
        indices = np.arange(start, start + size)
        rows = np.minimum(indices, count - 1)
        mask = (indices < count) & is_readable[rows]
        arguments = log_posteriors[rows], labels[rows], mask
        predictions = _score_batch(*arguments, top=min(top, classes))
        results.append((np.where(mask, rows, -1), predictions))
    return merge_predictions(results, count)


def _average(
    mean: PosteriorMean, results: Sequence[EnsembleMember], images: Dataset, top: int
) -> Evaluation:
    """Returns the result of the mean posteriors."""
    assert mean.is_readable is not None
    predictions = score_posteriors(mean.log_mean(), images.labels, mean.is_readable, top)
    evaluations = [member.evaluation for member in results]
    unreadable = {image.index: image for each in evaluations for image in each.unreadable}
    names = Counter({member.path: member.evaluation.model for member in results}.values())
    return dataclasses.replace(
        evaluations[0],
        model=" + ".join(f"{count} x {x}" if count > 1 else x for x, count in names.items()),
        protocol=",".join(dict.fromkeys(each.protocol for each in evaluations)),
        scales=tuple(sorted({scale for each in evaluations for scale in each.scales})),
        crops=sum(each.crops for each in evaluations),
        crops_computed=sum(each.crops_computed for each in evaluations),
        seconds=sum(each.seconds for each in evaluations),
        compile_seconds=sum(each.compile_seconds for each in evaluations),
        unreadable=[unreadable[index] for index in sorted(unreadable)],
        warnings=[f"{path}: {text}" for path, each in results for text in each.warnings],
        **prediction_facts(predictions, images),
    )
