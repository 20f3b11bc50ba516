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
def test_histogram_matches_numpy(name):
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


@pytest.fixture
def experiment(config, quick_generator):
    config.freeze = "C1"
    return build_experiment(config, lambda *progress: None)


def test_gradients_are_those_of_the_training_loss(experiment):
    functions, batch = experiment.functions, Histograms(experiment)._batch
    state = functions.init(3)
    summarize = functions.compile_summary(lambda params, gradients: (params, gradients))
    params, gradients = summarize(state, batch)
    chex.assert_trees_all_equal(params, state.params)

    def loss(params):
        images = functions.preprocessing(batch.images)
        logits = functions.model.apply({"params": params}, images, train=True)
        return functions.spec.loss(logits, batch.labels).mean()

    expected = jax.jit(jax.grad(loss))(state.params)
    del expected["C1"]  # frozen
    chex.assert_trees_all_close(gradients, expected, rtol=1e-4, atol=1e-6)


def test_batch_is_the_first_of_the_run(experiment):
    config, train = experiment.config, experiment.splits.train
    (indices,) = {tuple(Histograms(experiment)._batch.indices.tolist()) for _ in range(2)}
    first = next(training_batches(train, config.batch_size, config.seed, epoch=0))
    assert indices == tuple(first.indices)


def test_names_are_paths():
    def compute():
        return histograms._histograms({"C1": {"bias": VALUES["one"]}}, {"F6": {"bias": x}})

    x = np.ones(3, np.float32)
    assert list(jax.eval_shape(compute)) == ["gradients/F6/bias", "weights/C1/bias"]


def test_nothing_is_computed_by_default(config):
    class NoFunctions:
        def __init__(self):
            self.config = config

    assert Histograms(NoFunctions())(None) == {}
