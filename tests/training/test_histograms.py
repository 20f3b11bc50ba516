"""Histograms of weights and gradients, against NumPy and `jax.grad`."""

import chex
import jax
import numpy as np
import pytest

from flax_vision.data.batches import training_batches
from flax_vision.training import histograms
from flax_vision.training.build import build_experiment
from flax_vision.training.histograms import Histograms

VALUES = {
    "normal": np.random.default_rng(0).normal(size=(5, 7, 11)),
    "integers": np.arange(61).reshape(61, 1),
    "equal": np.full((4, 4), 0.5),
    "one": np.array(-2.0),
}


@pytest.mark.parametrize("name", VALUES)
def test_histogram_is_that_of_numpy(name):
    x = VALUES[name].astype(np.float32)
    found = jax.jit(histograms._histogram)(x)
    counts, edges = np.histogram(x, 30)
    if name in ("equal", "one"):  # NumPy widens the range by a half
        counts, edges = [0] * 29 + [x.size], np.full(31, x.flat[0])
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.edges, edges, rtol=1e-5, atol=1e-6)
    assert (found.edges[0], found.edges[-1]) == (x.min(), x.max())
    assert found.size == x.size
    np.testing.assert_allclose(found.total, x.sum(), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.total_squares, (x * x).sum(), rtol=1e-5)


def test_gradients_are_those_of_the_first_batch(config):
    config.freeze = "C1"
    config.tensorboard.histograms = True
    experiment = build_experiment(config, lambda *progress: None)
    functions, train = experiment.functions, experiment.splits.train
    state = functions.init(3)
    before = jax.device_get(state)
    found = Histograms(experiment)(state)
    chex.assert_trees_all_equal(jax.device_get(state), before)
    batch = next(training_batches(train, config.batch_size, config.seed, epoch=0))

    def loss(params):
        images = functions.preprocessing(batch.images)
        logits = functions.model.apply({"params": params}, images, train=True)
        return functions.spec.loss(logits, batch.labels).mean()

    gradients = jax.jit(jax.grad(loss))(state.params)
    for layer in ("C3", "OUT"):
        kernel = np.asarray(gradients[layer]["kernel"])
        histogram = found[f"gradients/{layer}/kernel"]
        np.testing.assert_allclose(histogram.total, kernel.sum(), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(histogram.edges[-1], kernel.max(), rtol=1e-4)
    assert found["weights/C1/kernel"].size == 150
    assert "gradients/C1/kernel" not in found  # frozen


def test_nothing_is_computed_by_default(config):
    class NoFunctions:
        def __init__(self):
            self.config = config

    assert Histograms(NoFunctions())(None) == {}
