"""Population statistics of batch normalization against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from normalized_model import Normalized, check_statistics, reference_statistics

from flax_vision.evaluation.batch_statistics import (
    batch_norm_layers,
    batch_statistics_only,
    population_statistics,
)
from flax_vision.models.lenet import LeNet5Modern

SHAPE = (8, 8, 1)
ALL = frozenset({("first",), ("second",)})


@pytest.fixture(scope="module")
def batches():
    """Three batches whose means differ by more than their deviations."""
    random = np.random.default_rng(0)
    offsets = np.array([-3, 0, 4], np.float32)[:, None, None, None, None]
    return random.normal(0, 1, (3, 5, *SHAPE)).astype(np.float32) + offsets


def statistics_of(model, variables, batches):
    """Returns the statistics of each batch."""

    @jax.jit
    def step(images):
        with batch_statistics_only():
            _, updated = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return updated["batch_stats"]

    return [step(images) for images in batches]


@pytest.mark.parametrize(
    "model", [Normalized(), Normalized(flax_norm=True), Normalized(remat=True)]
)
def test_statistics_of_all_images(model, batches):
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *SHAPE)))
    assert batch_norm_layers(model, SHAPE) == ALL
    # The running statistics, here far off, have no effect.
    running = jax.tree.map(lambda x: x + 100, variables["batch_stats"])
    variables = {**variables, "batch_stats": running}
    found = population_statistics(running, statistics_of(model, variables, batches), ALL)
    expected = reference_statistics(variables["params"], list(batches))
    check_statistics(found, expected)
    assert {x.dtype for x in jax.tree.leaves(found)} == {np.dtype("float32")}
    # The mean of the batches' variances would be another number.
    assert np.all(expected["first"][1] > 2 * batches.var((1, 2, 3, 4)).mean())


def test_momentum_is_restored(batches):
    model = Normalized()
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *SHAPE)))
    statistics_of(model, variables, batches[:1])
    _, updated = jax.jit(lambda x: model.apply(variables, x, train=True, mutable=["batch_stats"]))(
        batches[0]
    )
    expected = 0.1 * batches[0].reshape(-1, 4).mean(0)
    np.testing.assert_allclose(updated["batch_stats"]["first"]["mean"], expected, rtol=1e-4)


def test_other_layers_keep_their_statistics():
    kept = {"mean": np.float32([0.1]), "var": np.float32([0.3])}
    stored = {"a": {"mean": np.float32([1]), "var": np.float32([2])}, "b": kept}
    batch = {"a": {"mean": np.float32([3]), "var": np.float32([5])}, "b": kept}
    found = population_statistics(stored, [batch], [("a",)])
    np.testing.assert_array_equal(found["a"]["mean"], [3])
    np.testing.assert_array_equal(found["a"]["var"], [5])
    assert all(found["b"][name] is kept[name] for name in kept)


def test_mean_of_two_batches():
    """Means 1 and 3, variances 2 and 4: the variance is 3 within batches and 1 between them."""
    batches = [{"a": {"mean": np.float32(m), "var": np.float32(v)}} for m, v in ((1, 2), (3, 4))]
    found = population_statistics(batches[0], iter(batches), [("a",)])
    assert (found["a"]["mean"], found["a"]["var"]) == (2, 4)


def test_model_without_batch_normalization():
    assert batch_norm_layers(LeNet5Modern(), (28, 28, 1)) == frozenset()
