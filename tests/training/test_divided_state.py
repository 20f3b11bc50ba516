"""State that is divided among four devices: how much each has, and where a checkpoint goes on."""

import chex
import jax
import numpy as np
import optax
import pytest
from flax import linen as nn

from flax_vision.checkpoints import Checkpoints
from flax_vision.data.batches import batch_shapes, evaluation_batches
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation.evaluate import average
from flax_vision.sharding import make_mesh
from flax_vision.training.config import default_config
from flax_vision.training.losses import make_loss
from flax_vision.training.optimizers import make_optimizer
from flax_vision.training.placement import Placement
from flax_vision.training.schedules import make_plateau
from flax_vision.training.state import Recipe
from flax_vision.training.step import Program

LARGE = 64 * 1024 * 4
"""Bytes of the one large kernel."""


class Wide(nn.Module):
    """A layer that is worth dividing, and one that is not."""

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(4)(nn.Dense(1024)(x.reshape(x.shape[0], -1)))


def program_on(devices: int, fsdp: bool = False) -> Program:
    config = default_config()
    recipe = Recipe(
        make_loss("cross_entropy", 0.0),
        make_optimizer(config.optimizer),
        optax.constant_schedule(0.01),
        make_plateau(config.schedule),
        average=0.9,
    )
    placement = Placement(make_mesh(data=devices), fsdp)
    batch = batch_shapes((8, 8, 1), 8)
    return Program(Wide(), recipe, Preprocessing((128.0,), (64.0,)), batch, placement)


def bytes_of(state, device) -> int:
    shards = [shard for leaf in jax.tree.leaves(state) for shard in leaf.addressable_shards]
    return sum(shard.data.nbytes for shard in shards if shard.device == device)


@pytest.fixture(scope="module")
def divided():
    return program_on(4, fsdp=True)


def numbers(state):
    return jax.device_get(state.replace(key=jax.random.key_data(state.key)))


def test_each_device_has_a_quarter_of_what_is_large(divided):
    """Of the kernel, of its momentum and of its average, and of nothing else."""
    state = divided.init(0)
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    for device in jax.devices():
        assert bytes_of(state, device) == whole - 3 * LARGE * 3 // 4


def test_state_is_born_divided(divided):
    """No device has the whole of the kernel for a moment."""
    with jax.set_mesh(divided.placement.mesh):
        memory = divided.init.__wrapped__.lower(0).compile().memory_analysis()
    assert memory.output_size_in_bytes + memory.temp_size_in_bytes < 2 * LARGE


def test_a_step_gathers_the_kernel_and_gives_a_divided_state(divided):
    step = divided.compile_training()
    assert "all-gather" in step.as_text()
    shardings = [leaf.sharding for leaf in jax.tree.leaves(divided.state)]
    assert jax.tree.leaves(step.output_shardings) == shardings


@pytest.mark.parametrize(("before", "after"), [((4, True), (1, False)), ((1, False), (2, True))])
def test_checkpoint_goes_on_on_other_devices_to_the_bit(tmp_path, before, after):
    checkpoints = Checkpoints(tmp_path, 1, lambda: None)
    state, other = program_on(*before).init(3), program_on(*after)
    checkpoints.save(5, state, [])
    checkpoints.wait()
    restored, _ = checkpoints.restore(5, other.state)
    checkpoints.close()
    chex.assert_trees_all_equal(numbers(restored), numbers(state))
    assert jax.tree.leaves(jax.tree.map(lambda x: x.sharding, restored)) == [
        leaf.sharding for leaf in jax.tree.leaves(other.state)
    ]


def test_last_images_are_filled_up_and_do_not_count(digits, divided):
    """Thirty-nine images on four devices, in batches of eight."""
    images = digits.take(np.arange(39))
    one = program_on(1)
    averages = []
    for program in (one, divided):
        placement = program.placement
        batches = map(placement.put, evaluation_batches(images, 8, placement.rows(8)))
        state = program.init(0)
        averages.append(average(program.compile_evaluation(), state.variables, batches))
    assert averages[1]["top1"] * 39 == pytest.approx(round(averages[0]["top1"] * 39))
    assert averages[1]["loss"] == pytest.approx(averages[0]["loss"], rel=1e-6)
