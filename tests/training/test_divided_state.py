"""A state that is divided among four devices: its memory, its steps and its checkpoints."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from flax_vision.data.batches import Batch, batch_shapes, evaluation_batches
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation.metrics import sum_batches
from flax_vision.runtime.mesh import make_mesh
from flax_vision.training import partitioning
from flax_vision.training.checkpoints import Checkpoints
from flax_vision.training.config_schema import default_config
from flax_vision.training.losses import make_loss
from flax_vision.training.optimizers import make_optimizer
from flax_vision.training.partitioning import Partitioner
from flax_vision.training.schedules import make_plateau
from flax_vision.training.state import TrainSpec, TrainState
from flax_vision.training.step import TrainFunctions

LARGE = 64 * 1024 * 4
"""Bytes of the one large kernel."""


class Columns(nn.Module):
    """Two columns, of 512 features each."""

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (2, 64, 512))
        return jnp.concatenate((x @ kernel[0], x @ kernel[1]), axis=-1)


class Wide(nn.Module):
    """A layer that is large enough to divide, and two that are not."""

    @nn.compact
    def __call__(self, x, train=False):
        x = Columns(name="columns")(x.reshape(x.shape[0], -1))
        return nn.Dense(4)(nn.BatchNorm(use_running_average=not train)(x))


@functools.cache
def functions_on(
    data: int, fsdp: bool = False, column: int = 1, **optimizer: Any
) -> TrainFunctions:
    config = default_config()
    config.optimizer.update(optimizer)
    spec = TrainSpec(
        make_loss("cross_entropy", 0.0),
        make_optimizer(config.optimizer),
        optax.constant_schedule(0.01),
        make_plateau(config.schedule),
        ema_decay=0.9,
    )
    layers = ("columns",) if column > 1 else ()
    devices = Partitioner(make_mesh(data=data, column=column), fsdp, layers)
    batch = batch_shapes((8, 8, 1), 8)
    return TrainFunctions(Wide(), spec, Preprocessing((128.0,), (64.0,)), batch, devices)


def bytes_of(state, device) -> int:
    shards = [shard for leaf in jax.tree.leaves(state) for shard in leaf.addressable_shards]
    return sum(shard.data.nbytes for shard in shards if shard.device == device)


def a_batch() -> Batch:
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), np.uint8)
    labels, indices = np.arange(8, dtype=np.int32) % 4, np.arange(8, dtype=np.int32)
    return Batch(images, labels, np.ones(8, bool), indices)


@functools.cache
def after_a_step(*devices: int) -> tuple[TrainState, Any]:
    """Returns the state, and a copy on the host of every process."""
    functions = functions_on(*devices)
    rows = functions.partitioner.local_rows(8)
    batch = functions.partitioner.shard_batch(Batch(*(x[rows] for x in a_batch())))
    state = functions.compile_training()(functions.init(3), batch)
    return state, numbers(functions.partitioner.all_gather(state))


@pytest.fixture(scope="module")
def divided():
    return functions_on(4, fsdp=True)


def numbers(state):
    return jax.device_get(state.replace(key=jax.random.key_data(state.key)))


def test_each_device_has_a_quarter_of_what_is_large(divided):
    """The kernel, its momentum and its average are divided, and nothing else."""
    state = divided.init(0)
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    for device in jax.devices():
        assert bytes_of(state, device) == whole - 3 * LARGE * 3 // 4


def test_state_is_born_divided(divided):
    """No device ever has the whole kernel."""
    with jax.set_mesh(divided.partitioner.mesh):
        memory = divided.init.__wrapped__.lower(0).compile().memory_analysis()
    assert memory.output_size_in_bytes + memory.temp_size_in_bytes < 2 * LARGE


def test_a_step_gathers_the_kernel_and_gives_a_divided_state(divided):
    step = divided.compile_training()
    assert "all-gather" in step.as_text()
    shardings = [leaf.sharding for leaf in jax.tree.leaves(divided.state)]
    assert jax.tree.leaves(step.output_shardings) == shardings


@pytest.mark.slow
def test_a_very_large_kernel_is_multiplied_where_it_lies(monkeypatch):
    monkeypatch.setattr(partitioning, "_MIN_SIZE_IN_USE", LARGE // 4)
    functions = functions_on.__wrapped__(4, True)
    text = functions.compile_training().as_text()
    assert "f32[2,64,512]" not in text
    assert "f32[64,512]" not in text
    state, expected = functions.init(3), after_a_step(1)[1]
    found = functions.compile_training()(state, functions.partitioner.shard_batch(a_batch()))
    chex.assert_trees_all_close(numbers(found).params, expected.params, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((4, True), (1, False)),
        ((4, False), (4, True)),
        ((1, False), (2, True)),
        ((1, False, 2), (1, False)),
        ((1, False), (2, False, 2)),
        ((2, True, 2), (4, False)),
    ],
)
def test_checkpoint_goes_on_on_other_devices_to_the_bit(tmp_path, before, after):
    """The step before the checkpoint changes every array."""
    state, expected = after_a_step(*before)
    beginning = numbers(functions_on(*before).init(3))
    for part in ("params", "statistics", "opt_state", "average"):
        trees = getattr(expected, part), getattr(beginning, part)
        assert jax.tree.all(jax.tree.map(lambda x, y: (x != y).any(), *trees)), part
    checkpoints = Checkpoints(tmp_path, 1, lambda: None)
    checkpoints.save(5, state, [])
    checkpoints.wait()
    restored, _ = checkpoints.restore(5, functions_on(*after).state)
    checkpoints.close()
    chex.assert_trees_all_equal(numbers(restored), expected)
    assert jax.tree.leaves(jax.tree.map(lambda x: x.sharding, restored)) == [
        leaf.sharding for leaf in jax.tree.leaves(functions_on(*after).state)
    ]


@pytest.mark.slow
def test_last_images_are_filled_up_and_do_not_count(digits, divided):
    """Thirty-nine images on four devices, in batches of eight."""
    images = digits.take(np.arange(39))
    one = functions_on(1)
    averages = []
    for functions in (one, divided):
        own = functions.partitioner
        batches = map(own.shard_batch, evaluation_batches(images, 8, own.local_rows(8)))
        state = functions.init(0)
        averages.append(
            sum_batches(functions.compile_evaluation(), state.variables, batches).averages()
        )
    assert averages[1]["top1"] * 39 == pytest.approx(round(averages[0]["top1"] * 39))
    assert averages[1]["loss"] == pytest.approx(averages[0]["loss"], rel=1e-6)


@pytest.mark.slow
def test_both_moments_of_adam_are_divided():
    state = functions_on(4, True, name="adam").init(0)
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    for device in jax.devices():
        assert bytes_of(state, device) == whole - 4 * LARGE * 3 // 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "lamb"])
def test_norms_are_of_whole_arrays(name):
    """The norm of the gradient and the trust ratio of lamb do not depend on the mesh."""
    found = []
    for mesh in ((1, False), (4, True)):
        functions = functions_on(*mesh, name=name, clip_norm=0.01)
        state = functions.init(3)
        batch = functions.partitioner.shard_batch(a_batch())
        found.append(numbers(functions.compile_training()(state, batch)).params)
    chex.assert_trees_all_close(*found, rtol=1e-5, atol=1e-5)
    first = numbers(functions_on(1, name=name, clip_norm=0.01).init(3)).params
    if name == "sgd":
        change = jax.tree.leaves(jax.tree.map(lambda x, y: ((x - y) ** 2).sum(), first, found[1]))
        assert np.sqrt(sum(change)) == pytest.approx(0.01 * 0.01, rel=1e-2)  # norm times rate
