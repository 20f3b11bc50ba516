"""The primitives on several devices, lowered to oneDNN and to pure JAX."""

import re
from functools import partial

import jax
import pytest
from conv_forms import (
    assert_close,
    gradients,
    loss,
    ours,
    ours_with_epilogue,
    xla,
    xla_with_epilogue,
)
from jax.sharding import NamedSharding, PartitionSpec
from random_arrays import random_array

from flax_vision.ops.cpu import winograd

pytestmark = [pytest.mark.usefixtures("library"), pytest.mark.slow]


def test_shard_map(operands, mesh):
    data, everywhere = PartitionSpec("data"), PartitionSpec()

    @partial(jax.shard_map, mesh=mesh, in_specs=(data, everywhere), out_specs=everywhere)
    def total(x, kernel):
        return jax.lax.psum(loss(ours)(x, kernel), "data")

    expected = gradients(xla)(*operands)
    assert_close(jax.jit(jax.grad(total, (0, 1)))(*operands), expected)

    @partial(jax.shard_map, mesh=mesh, in_specs=(data, everywhere), out_specs=everywhere)
    def kernel_gradient(x, kernel):
        return jax.grad(lambda kernel: loss(ours)(x, kernel))(kernel)  # the sum over devices

    assert_close(jax.jit(kernel_gradient)(*operands), expected[1])


def test_winograd_in_shard_map(mesh, monkeypatch):
    """The chunks are joined in an array that varies over the devices, as the images do."""
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 1 << 20)
    x, kernel = random_array(0, (8, 14, 14, 96)), random_array(1, (3, 3, 96, 96))
    one = ((1, 1), (1, 1))

    def total(conv):
        return lambda x, kernel: (conv(x, kernel, 1, one) ** 2).sum()

    data, everywhere = PartitionSpec("data"), PartitionSpec()

    @partial(jax.shard_map, mesh=mesh, in_specs=(data, everywhere), out_specs=everywhere)
    def divided(x, kernel):
        return jax.lax.psum(total(ours)(x, kernel), "data")

    expected = jax.grad(total(xla), (0, 1))(x, kernel)
    assert_close(jax.jit(jax.grad(divided, (0, 1)))(x, kernel), expected)


def test_images_divided_among_devices(operands, mesh):
    x, kernel = operands
    x = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    kernel = jax.device_put(kernel, NamedSharding(mesh, PartitionSpec()))
    assert_close(jax.jit(gradients(ours))(x, kernel), gradients(xla)(*operands))


def test_each_device_convolves_its_own_images(epilogue_operands, mesh):
    """No maps are gathered, and the gradients of kernel and bias are sums."""

    def value_and_gradients(conv):
        def run(*operands):
            y, pull_back = jax.vjp(conv, *operands)
            return y, pull_back(random_array(3, y.shape))

        return run

    data, everywhere = (
        NamedSharding(mesh, spec) for spec in (PartitionSpec("data"), PartitionSpec())
    )
    shardings = (data, everywhere, everywhere, data)[: len(epilogue_operands)]
    operands = jax.device_put(tuple(epilogue_operands), shardings)
    with jax.set_mesh(mesh):
        step = jax.jit(value_and_gradients(ours_with_epilogue)).lower(*operands).compile()
    assert_close(step(*operands), value_and_gradients(xla_with_epilogue)(*epilogue_operands))
    program = step.as_text()
    assert "all-reduce" in program
    assert not re.search("all-gather|all-to-all|collective-permute", program)
