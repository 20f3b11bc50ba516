import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from flax_vision.data.augmentation import Augmentation
from flax_vision.data.batches import Batch
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.training.config_schema import default_config
from flax_vision.training.losses import make_loss
from flax_vision.training.optimizers import make_optimizer
from flax_vision.training.schedules import make_plateau
from flax_vision.training.state import TrainSpec, is_finite
from flax_vision.training.step import TrainFunctions

RATE = 0.1


class Small(nn.Module):
    """One layer with batch normalization and dropout."""

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
    return Batch(
        digits.images[:8], digits.labels[:8], np.ones(8, bool), np.arange(8, dtype=np.int32)
    )


def compiled(model, batch, rate=RATE, **settings) -> TrainFunctions:
    config = default_config()
    config.optimizer.momentum = 0.0
    spec = TrainSpec(
        make_loss("cross_entropy", 0.0),
        make_optimizer(config.optimizer),
        optax.constant_schedule(rate),
        make_plateau(config.schedule),
        **settings,
    )
    functions = TrainFunctions(model, spec, Preprocessing((128.0,), (64.0,)), batch)
    functions.compile()
    return functions


def test_step_is_gradient_descent_on_the_mean_loss(batch):
    functions = compiled(Linear(), batch)
    state = functions.init(0)
    weights = np.asarray(state.params["Dense_0"]["kernel"])
    state = functions.train_step(state, batch)

    x = (batch.images.reshape(8, -1) - 128.0) / 64
    scores = np.exp(x @ weights)
    wrong = scores / scores.sum(axis=1, keepdims=True) - np.eye(4)[batch.labels]
    expected = weights - RATE * x.T @ wrong / 8
    np.testing.assert_allclose(state.params["Dense_0"]["kernel"], expected, rtol=1e-4, atol=1e-6)
    assert (int(state.step), int(state.totals.count), int(state.bad_step)) == (1, 8, 0)


def test_images_that_do_not_count_change_nothing(batch):
    """A batch with two of its images masked is the batch without them."""
    functions = compiled(Linear(), batch)
    mask = np.arange(8) < 6
    other = batch._replace(images=batch.images[::-1], labels=batch.labels[::-1])
    filled = Batch(
        *(
            np.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b)
            for a, b in zip(batch, other, strict=True)
        )
    )._replace(mask=mask)
    short = Batch(*(array[:6] for array in batch))
    state = functions.train_step(functions.init(0), filled)
    alone = compiled(Linear(), short)
    expected = alone.train_step(alone.init(0), short)
    chex.assert_trees_all_close(state.params, expected.params, rtol=1e-5)
    assert int(state.totals.count) == 6
    assert float(state.totals.loss) == pytest.approx(float(expected.totals.loss), rel=1e-6)


def test_batch_in_which_nothing_counts(batch):
    functions = compiled(Linear(), batch)
    before = jax.device_get(functions.init(0).params)
    state = functions.train_step(functions.init(0), batch._replace(mask=np.zeros(8, bool)))
    chex.assert_trees_all_equal(state.params, before)
    assert (int(state.totals.count), int(state.bad_step)) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_layers_of_flax_keep_their_statistics(frozen, batch):
    layers = {("BatchNorm_0",)} if frozen else ()
    functions = compiled(Small(), batch, frozen=frozenset(layers))
    before = jax.device_get(functions.init(0).statistics["batch_stats"]["BatchNorm_0"])
    state = functions.train_step(functions.init(0), batch)
    after = state.statistics["batch_stats"]["BatchNorm_0"]
    assert np.array_equal(after["mean"], before["mean"]) == frozen
    assert np.array_equal(after["var"], before["var"]) == frozen


def test_step_takes_the_memory_of_the_state_before(batch):
    functions = compiled(Linear(), batch)
    state = functions.init(0)
    functions.train_step(state, batch)
    assert state.params["Dense_0"]["kernel"].is_deleted()


def test_totals_add_up_over_steps(batch):
    functions = compiled(Linear(), batch, rate=0.0)
    state = functions.init(0)
    for _ in range(3):
        state = functions.train_step(state, batch)
    one = functions.eval_step(state.variables, batch)
    assert int(state.totals.count) == 24
    assert int(state.totals.top1) == 3 * int(one.top1)
    assert float(state.totals.loss) == pytest.approx(3 * float(one.loss), rel=1e-6)


def test_statistics_are_updated_and_dropout_differs_by_step(batch):
    functions = compiled(Small(), batch, rate=0.0)
    first = functions.init(0)
    before = jax.device_get(first.statistics)
    second = functions.train_step(first, batch)
    after = jax.device_get(second.statistics)
    assert (after["batch_stats"]["BatchNorm_0"]["mean"] != 0).any()
    assert (before["batch_stats"]["BatchNorm_0"]["mean"] == 0).all()
    loss = float(second.totals.loss)
    third = functions.train_step(second, batch)
    assert float(third.totals.loss) - loss != pytest.approx(loss, rel=1e-3)


def test_seed_decides_everything(batch):
    functions = compiled(Small(), batch)
    ends = []
    for seed in (5, 5, 6):
        state = functions.init(seed)
        for _ in range(3):
            state = functions.train_step(state, batch)
        ends.append(jax.device_get(state.params))
    chex.assert_trees_all_equal(ends[0], ends[1])
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(ends[0], ends[2])


def test_evaluation_uses_the_running_statistics_and_no_dropout(batch):
    functions = compiled(Small(), batch)
    variables = functions.init(0).variables
    totals = [functions.eval_step(variables, batch) for _ in range(2)]
    assert float(totals[0].loss) == float(totals[1].loss)


def test_compiled_step_takes_no_other_batch(batch):
    functions = compiled(Linear(), batch)
    smaller = jax.tree.map(lambda x: x[:4], batch)
    with pytest.raises(TypeError):
        functions.train_step(functions.init(0), smaller)


def test_first_bad_step_is_remembered(batch):
    functions = compiled(Linear(), batch, rate=1e38)
    state = functions.init(0)
    assert bool(is_finite(state))
    for _ in range(4):
        state = functions.train_step(state, batch)
    assert int(state.bad_step) in (2, 3)
    assert not is_finite(state)


def test_parameters_that_are_not_finite_are_found_before_the_loss(batch):
    state = compiled(Linear(), batch).init(0)
    broken = jax.tree.map(lambda x: x.at[0, 0].set(jnp.nan), state.params)
    assert not is_finite(state.replace(params=broken))


class WithHeads(nn.Module):
    """A linear model with its logits as an auxiliary head too."""

    @nn.compact
    def __call__(self, images, *, train=False):
        logits = Linear(name="linear")(images)
        self.sow("intermediates", "aux1", logits)
        return logits


def test_auxiliary_heads_add_their_share_of_the_gradient(batch):
    plain, headed = compiled(Linear(), batch), compiled(WithHeads(), batch, aux_weight=0.5)
    before, after = plain.init(0), headed.init(0)
    kernel = np.asarray(before.params["Dense_0"]["kernel"])
    params = {"linear": {"Dense_0": {"kernel": jnp.array(kernel)}}}
    once = plain.train_step(before, batch)
    more = headed.train_step(after.replace(params=params), batch)
    change = np.asarray(once.params["Dense_0"]["kernel"]) - kernel
    np.testing.assert_allclose(
        more.params["linear"]["Dense_0"]["kernel"], kernel + 1.5 * change, rtol=1e-5, atol=1e-7
    )
    # The reported loss excludes auxiliary heads.
    assert float(more.totals.loss) == pytest.approx(float(once.totals.loss), rel=1e-6)


def test_plateau_lowers_the_rate_of_the_next_epoch(batch):
    functions = compiled(Linear(), batch)
    state = functions.init(0)
    assert float(functions.learning_rate(state)) == np.float32(RATE)
    for error in (0.5, np.nan, 0.4, 0.5):
        state = functions.end_epoch(state, np.float32(error))
    # The schedule's name is not plateau, so nothing happens.
    assert float(state.plateau.scale) == 1.0
    assert float(state.plateau.best_value) == np.float32(0.4)
    halved = state.replace(plateau=state.plateau._replace(scale=jnp.float32(0.5)))
    assert float(functions.learning_rate(halved)) == np.float32(RATE) / 2


def test_average_is_what_is_tested(batch):
    functions = compiled(Linear(), batch, ema_decay=0.75)
    state = functions.init(0)
    kernels = []
    for _ in range(6):
        state = functions.train_step(state, batch)
        kernels.append(np.asarray(state.params["Dense_0"]["kernel"]))
    average = np.mean(kernels[:4], axis=0)
    for kernel in kernels[4:]:
        average = 0.75 * average + 0.25 * kernel
    tested = state.variables["params"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(tested, average, rtol=1e-5, atol=1e-6)


def test_several_steps_at_once_are_the_same_steps(batch):
    functions = compiled(Small(), batch)
    one, many = functions.init(0), functions.init(0)
    for _ in range(3):
        one = functions.train_step(one, batch)
    many = functions.train_steps(many, jax.tree.map(lambda x: np.stack([x] * 3), batch))
    assert int(many.step) == 3
    chex.assert_trees_all_close(one.params, many.params, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_augmentation_depends_on_seed_epoch_and_image_alone(batch):
    """The position of an image in its epoch does not change its augmentation."""
    seen = []

    class Spy(nn.Module):
        @nn.compact
        def __call__(self, images, *, train=False):
            if train:
                jax.debug.callback(lambda x: seen.append(np.asarray(x)), images)
            return Linear()(images)

    functions = compiled(
        Spy(),
        batch,
        rate=0.0,
        steps_per_epoch=2,
        augmentation=Augmentation(pad_and_crop=2, flip=True),
    )
    state = functions.init(0)
    turned = Batch(*(x[::-1].copy() for x in batch))
    for step_batch in (batch, turned, batch):
        state = functions.train_step(state, step_batch)
    jax.effects_barrier()
    first, second, third = seen
    np.testing.assert_array_equal(first, second[::-1])
    assert not np.array_equal(first, third)


def test_class_weights_give_the_weighted_mean(batch):
    """A weight of 2 counts like a second copy of the image."""
    twice = Batch(*(np.concatenate([x, x[batch.labels == 1]]) for x in batch))
    weighted = compiled(Linear(), batch, class_weights=(1.0, 2.0, 1.0, 1.0))
    copied = compiled(Linear(), twice)
    state = weighted.train_step(weighted.init(0), batch)
    expected = copied.train_step(copied.init(0), twice)
    chex.assert_trees_all_close(state.params, expected.params, rtol=1e-5)
    unweighted = compiled(Linear(), batch)
    plain = unweighted.train_step(unweighted.init(0), batch)
    assert float(state.totals.loss) == float(plain.totals.loss)


def test_evaluation_reports_its_own_loss(batch):
    functions = compiled(Linear(), batch, eval_loss=lambda logits, labels: jnp.full(8, 3.0))
    totals = functions.eval_step(functions.init(0).variables, batch)
    assert float(totals.loss) == 24.0
