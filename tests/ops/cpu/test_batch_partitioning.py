"""User programs over a divided batch, without `jax.set_mesh` and with any axis name."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from random_arrays import random_array

import flax_vision as fv
from flax_vision.ops.convolution import conv
from flax_vision.ops.cpu import onednn_library
from flax_vision.ops.pooling import max_pool

needs_onednn = pytest.mark.skipif(
    onednn_library.unavailable_reason() is not None, reason="XLA divides all other forms by itself"
)


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))


@pytest.fixture
def put(mesh):
    """Puts arrays on the devices: divided along their first axis, or whole."""
    return lambda tree, *spec: jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*spec)))


def check(function, whole, divided):
    """Checks that no images are gathered, and that the results equal one device's."""
    compiled = jax.jit(function).lower(*divided).compile()
    text = compiled.as_text()
    assert "flax_vision_" in text
    assert not re.search("all-gather|all-to-all|collective-permute", text)
    for ours, expected in zip(
        jax.tree.leaves(compiled(*divided)), jax.tree.leaves(jax.jit(function)(*whole)), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def with_gradients(function):
    return lambda *operands: jax.value_and_grad(
        lambda *operands: (function(*operands) ** 2).mean(), tuple(range(len(operands)))
    )(*operands)


@needs_onednn
@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((2, 0), (0, 2))])
def test_convolution(put, padding):
    x, kernel, bias = random_array(0, (4, 6, 6, 16)), random_array(1, (3, 3, 16, 8)), jnp.ones(8)
    convolve = partial(conv, padding=padding, relu=True)
    operation = with_gradients(lambda x, kernel, bias: convolve(x, kernel, bias=bias))
    check(operation, (x, kernel, bias), (put(x, "batch"), put(kernel), put(bias)))


@needs_onednn
def test_pooling(put):
    x = random_array(0, (4, 6, 6, 16))
    check(with_gradients(partial(max_pool, size=3, stride=2)), (x,), (put(x, "batch"),))


@needs_onednn
def test_gradient_of_a_kernel_where_one_operand_alone_is_divided(put):
    x, y = random_array(0, (4, 6, 6, 16)), random_array(1, (4, 4, 4, 8))
    kernel = jnp.zeros((3, 3, 16, 8))

    def gradient(x, y):
        return jax.vjp(lambda kernel: conv(x, kernel), kernel)[1](y)

    check(gradient, (x, y), (put(x), put(y, "batch")))


@pytest.mark.slow
@needs_onednn
def test_training_step_of_a_model(put):
    model = fv.create_model("resnet20", num_classes=4)
    images, labels = random_array(0, (4, 8, 8, 3)), jnp.arange(4)
    variables = jax.jit(model.init)(jax.random.key(0), images)

    def step(variables, images, labels):
        def loss(params):
            logits, updates = model.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), updates

        return jax.grad(loss, has_aux=True)(variables["params"])

    check(
        step,
        (variables, images, labels),
        (put(variables), put(images, "batch"), put(labels, "batch")),
    )


@needs_onednn
def test_programs_that_differ_in_padding_alone_do_not_look_alike(put):
    """JAX's compilation cache identifies a program by its text, also in other processes."""
    operands = put(jnp.ones((4, 6, 6, 1)), "batch"), put(jnp.ones((3, 3, 1, 8)))

    def text(padding):
        text = jax.jit(partial(conv, padding=padding)).lower(*operands).as_text()
        return re.sub(r'backend_config = "\d+"', "", text)  # the address of an object

    assert text(((1, 1), (1, 1))) != text(((2, 0), (0, 2)))
