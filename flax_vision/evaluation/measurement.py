"""A test of all images of a set, and how long it takes."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from flax_vision.data.batches import Batch
from flax_vision.data.dataset import ProgressFn
from flax_vision.errors import UserError
from flax_vision.evaluation.averages import average
from flax_vision.evaluation.evaluator import BatchPredictions, Step
from flax_vision.evaluation.grouping import ShapeGroup
from flax_vision.text import counted


@dataclass(frozen=True)
class Measurement:
    """What a test came to.

    Attributes:
      averages: as `average` has them.
      predicted: int32 [N], the class that each image of the set was taken for; -1 where it could
        not be read.
      confidence: float32 [N], the posterior of that class, 0 to 1; 0 where there is none.
      seconds: that it took, without compiling.
      compile_seconds: what that took.
    """

    averages: dict[str, float]
    predicted: np.ndarray
    confidence: np.ndarray
    seconds: float
    compile_seconds: float


def measure(
    showings: Sequence[ShapeGroup], variables: Any, batch_size: int | None, on_progress: ProgressFn
) -> Measurement:
    """Tests a network on all images of a set.

    Args:
      showings: that have each image once.
      variables: of the network.
      batch_size: images in a step; None for what memory allows.
      on_progress: called with what is being done, how much of it is, and how much there is.

    Raises:
      UserError: the network cannot take the images, memory is too small for it, or no image could
        be read.
    """
    course = _Course(showings, on_progress)
    batches = course.batches(variables, batch_size)
    started = time.monotonic()
    try:
        averages = average(course.step, variables, batches, course.wait)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise UserError(
                f"{course.name} does not fit into memory with "
                f"{counted(course.batch_size, 'image')} in a step; give a smaller "
                "--batch-size, or smaller --scales."
            ) from error
        raise
    seconds = time.monotonic() - started - course.compile_seconds
    return Measurement(averages, *course.verdict(), seconds, course.compile_seconds)


class _Course:
    """A test that goes on, with the compiled step of one shape after the other's.

    Attributes:
      name: of the network.
      batch_size: images in a step.
      compile_seconds: what it took so far.
    """

    def __init__(self, showings: Sequence[ShapeGroup], on_progress: ProgressFn) -> None:
        self.name = showings[0].trial.metadata.name
        self.batch_size = 0
        self.compile_seconds = 0.0
        self._showings, self._report = showings, on_progress
        self._step: Step
        self._found: list[tuple[np.ndarray, BatchPredictions]] = []
        self._done = 0

    def batches(self, variables: Any, wanted: int | None) -> Iterator[Batch]:
        """Yields all batches; those of each shape when their step has been compiled."""
        for showing in self._showings:
            self.batch_size = showing.batch_size(wanted)
            self._report("compiling", 0, 0)
            started = time.monotonic()
            self._step = showing.compile(variables, self.batch_size)
            self.compile_seconds += time.monotonic() - started
            yield from showing.batches(self.batch_size)

    def wait(self) -> None:
        """Waits for the step before: its images are there, so that what is reported is done."""
        if self._found:
            jax.block_until_ready(self._found[-1][1])
        self._report(f"testing {self.name}", self._done, self._total)

    def step(self, variables: Any, batch: Batch) -> Any:
        """Returns the totals of a batch."""
        totals, verdict = self._step(variables, batch)
        counted = np.where(batch.mask, batch.indices, -1)
        self._found.append((counted, verdict))
        self._done += int(np.sum(batch.mask))
        return totals

    @property
    def _total(self) -> int:
        return sum(len(showing.images) for showing in self._showings)

    def verdict(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns a Verdict's parts for all images, in the order of the set."""
        result = np.full(self._total, -1, np.int32), np.zeros(self._total, np.float32)
        for places, verdict in self._found:
            for whole, part in zip(result, verdict, strict=True):
                whole[places[places >= 0]] = np.asarray(part)[places >= 0]
        return result
