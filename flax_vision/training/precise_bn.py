"""Batch normalization with the statistics of training images, for the evaluations of a run."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import jax
import numpy as np

from flax_vision.evaluation.batch_statistics import batch_norm_layers, population_statistics
from flax_vision.training.build import Experiment
from flax_vision.training.state import TrainState


class PreciseBatchNorm:
    """Replaces the running statistics of a state before an evaluation.

    Running statistics come from earlier weights, and with `optimizer.ema_decay` from other weights
    than the evaluated average. As in fvcore's PreciseBN, forward passes in training mode give the
    statistics of the evaluated weights. The batches are the first of the first epoch, with its
    augmentation, so they depend on the seed alone.
    """

    def __init__(self, experiment: Experiment) -> None:
        """Compiles nothing yet; calls do nothing if `config.precise_bn_samples` is 0."""
        self._experiment = experiment
        config = experiment.config
        needed = -(-config.precise_bn_samples // config.batch_size)
        self._batches = min(needed, experiment.steps_per_epoch)
        self._step: Callable[[TrainState, Any], Any] | None = None

    def __call__(self, state: TrainState, poll: Callable[[], None]) -> TrainState:
        """Returns the state with new statistics, for an evaluation.

        Args:
          state: State of the run; it is not changed.
          poll: Function called before each batch; it may raise to stop early.
        """
        if not self._batches:
            return state
        functions, metadata = self._experiment.functions, self._experiment.metadata
        layers = batch_norm_layers(functions.model, metadata.input_shape) - functions.spec.frozen
        old = state.statistics["batch_stats"]
        new = population_statistics(old, self._statistics(state, poll), layers)
        placed = jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), new, old)
        return state.replace(statistics={**state.statistics, "batch_stats": placed})

    def _statistics(self, state: TrainState, poll: Callable[[], None]) -> Iterator[Any]:
        """Yields the statistics of each batch."""
        if self._step is None:
            self._step = self._experiment.functions.compile_batch_statistics()
        batches = islice(self._experiment.train_batches(epoch=0), self._batches)
        for number, batch in enumerate(batches):
            poll()
            step = jax.device_put(np.int32(number), state.step.sharding)
            yield self._step(state.replace(step=step), batch)
