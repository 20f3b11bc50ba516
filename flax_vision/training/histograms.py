"""Histograms of the weights and gradients of a run, for TensorBoard."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from flax_vision.data.batches import Batch
from flax_vision.training.build import Experiment
from flax_vision.training.state import TrainState
from flax_vision.training.tensorboard import Histogram

_BINS = 30
"""Number of bins of equal width, as in TensorBoard's own histograms."""


class Histograms:
    """Function of a TrainState that returns histograms of weights and gradients by name.

    The gradients in each epoch are for the first batch of the run. The function is compiled
    at its first call, and does not change the run. Without `config.tensorboard.histograms` it
    returns an empty mapping and compiles nothing.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment

    def __call__(self, state: TrainState) -> Mapping[str, Histogram]:
        if not self._experiment.config.tensorboard.histograms:
            return {}
        found: Mapping[str, Histogram] = jax.device_get(self._compute(state, self._batch))
        return found

    @cached_property
    def _compute(self) -> jax.stages.Compiled:
        return self._experiment.functions.compile_summary(_histograms)

    @cached_property
    def _batch(self) -> Batch:
        return next(self._experiment.train_batches(epoch=0))


def _histograms(params: Any, gradients: Any) -> dict[str, Histogram]:
    trees = {"weights": params, "gradients": gradients}
    arrays = {
        f"{kind}/{name}": x
        for kind, tree in trees.items()
        for name, x in flatten_dict(tree, sep="/").items()
    }
    return {name: _histogram(x) for name, x in arrays.items()}


def _histogram(x: jax.Array) -> Histogram:
    x = x.ravel().astype(jnp.float32)
    low, high = x.min(), x.max()
    edges = low + (high - low) / _BINS * jnp.arange(_BINS + 1, dtype=jnp.float32)
    # Sums of comparisons compile faster than a scatter, and need no gathering of divided arrays.
    below = (x[:, None] < edges[None, 1:-1]).sum(axis=0, dtype=jnp.int32)
    zero, size = jnp.zeros(1, jnp.int32), jnp.full(1, x.size, jnp.int32)
    counts = jnp.diff(below, prepend=zero, append=size)
    return Histogram(counts, edges.at[-1].set(high), x.size, x.sum(), (x * x).sum())
