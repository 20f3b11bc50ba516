import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from flax_vision.data.batches import Batch
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.training.losses import make_loss
from flax_vision.training.step import Program, is_finite

RATE = 0.1


class Small(nn.Module):
    """One layer with batch normalisation and dropout."""

    @nn.compact
    def __call__(self, images, *, train=False):
        x = images.reshape(images.shape[0], -1)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(4)(x)


class Linear(nn.Module):
    @nn.compact
    def __call__(self, images, *, train=False):
        return nn.Dense(4, use_bias=False)(images.reshape(images.shape[0], -1))


@pytest.fixture
def batch(digits):
    return Batch(digits.images[:8], digits.labels[:8], np.ones(8, bool))


def compiled(model, batch, rate=RATE) -> Program:
    program = Program(
        model,
        make_loss("cross_entropy", 0.0),
        optax.sgd(rate),
        Preprocessing((128.0,), (64.0,)),
        batch,
    )
    program.compile()
    return program


def test_step_is_gradient_descent_on_the_mean_loss(batch):
    program = compiled(Linear(), batch)
    state = program.init(0)
    weights = np.asarray(state.params["Dense_0"]["kernel"])
    state = program.train_step(state, batch)

    x = (batch.images.reshape(8, -1) - 128.0) / 64
    scores = np.exp(x @ weights)
    wrong = scores / scores.sum(axis=1, keepdims=True) - np.eye(4)[batch.labels]
    expected = weights - RATE * x.T @ wrong / 8
    np.testing.assert_allclose(state.params["Dense_0"]["kernel"], expected, rtol=1e-4, atol=1e-6)
    assert (int(state.step), int(state.totals.count), int(state.bad_step)) == (1, 8, 0)


def test_step_takes_the_memory_of_the_state_before(batch):
    program = compiled(Linear(), batch)
    state = program.init(0)
    program.train_step(state, batch)
    assert state.params["Dense_0"]["kernel"].is_deleted()


def test_totals_add_up_over_steps(batch):
    program = compiled(Linear(), batch, rate=0.0)
    state = program.init(0)
    for _ in range(3):
        state = program.train_step(state, batch)
    one = program.eval_step(state.variables, batch)
    assert int(state.totals.count) == 24
    assert int(state.totals.top1) == 3 * int(one.top1)
    assert float(state.totals.loss) == pytest.approx(3 * float(one.loss), rel=1e-6)


def test_statistics_are_updated_and_dropout_differs_by_step(batch):
    program = compiled(Small(), batch, rate=0.0)
    first = program.init(0)
    before = jax.device_get(first.statistics)
    second = program.train_step(first, batch)
    after = jax.device_get(second.statistics)
    assert (after["batch_stats"]["BatchNorm_0"]["mean"] != 0).any()
    assert (before["batch_stats"]["BatchNorm_0"]["mean"] == 0).all()
    loss = float(second.totals.loss)
    third = program.train_step(second, batch)
    assert float(third.totals.loss) - loss != pytest.approx(loss, rel=1e-3)


def test_seed_decides_everything(batch):
    program = compiled(Small(), batch)
    ends = []
    for seed in (5, 5, 6):
        state = program.init(seed)
        for _ in range(3):
            state = program.train_step(state, batch)
        ends.append(jax.device_get(state.params))
    chex.assert_trees_all_equal(ends[0], ends[1])
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(ends[0], ends[2])


def test_evaluation_uses_the_running_statistics_and_no_dropout(batch):
    program = compiled(Small(), batch)
    variables = program.init(0).variables
    totals = [program.eval_step(variables, batch) for _ in range(2)]
    assert float(totals[0].loss) == float(totals[1].loss)


def test_compiled_step_takes_no_other_batch(batch):
    program = compiled(Linear(), batch)
    smaller = jax.tree.map(lambda x: x[:4], batch)
    with pytest.raises(TypeError):
        program.train_step(program.init(0), smaller)


def test_first_bad_step_is_remembered(batch):
    program = compiled(Linear(), batch, rate=1e38)
    state = program.init(0)
    assert bool(is_finite(state))
    for _ in range(4):
        state = program.train_step(state, batch)
    assert int(state.bad_step) in (2, 3)
    assert not is_finite(state)


def test_parameters_that_are_not_finite_are_found_before_the_loss(batch):
    state = compiled(Linear(), batch).init(0)
    broken = jax.tree.map(lambda x: x.at[0, 0].set(jnp.nan), state.params)
    assert not is_finite(state.replace(params=broken))
