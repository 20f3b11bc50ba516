"""The plain networks against section 3.3, table 2 and figure 6 of ResNet's paper."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import abstract_intermediates, abstract_variables, count, quick_key, rows_of
from flax import linen as nn

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models.catalog import CATALOG
from flax_vision.models.layers import BatchNorm, Conv
from flax_vision.models.registry import model_options
from flax_vision.models.residual import BasicBlock, Bottleneck

LAYOUT = ("NHWC", "HWIO", "NHWC")
DEPTHS = [20, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (18, 34, 32, 44, 56))]


@pytest.mark.parametrize("depth", DEPTHS)
def test_parameters_are_those_of_shortcut_a(depth):
    """Identity shortcuts add "neither extra parameter nor computation complexity" (3.2)."""
    plain = abstract_variables(f"plain{depth}")
    residual = abstract_variables(f"resnet{depth}", shortcut="A")
    chex.assert_trees_all_equal(plain, residual)
    costs = [rows_of(f"plain{depth}"), rows_of(f"resnet{depth}", shortcut="A")]
    plain_macs, residual_macs = (sum(row.multiply_adds for row in rows.values()) for rows in costs)
    assert plain_macs == residual_macs
    convolutions = [x for x in jax.tree.leaves(plain["params"]) if x.ndim == 4]
    assert len(convolutions) + 1 == depth  # the last layer is fully connected


def test_multiply_adds_of_34_layers_are_18_percent_of_vgg19():
    """Section 3.3: 3.6 billion, and 19.6 billion for VGG-19."""
    plain, vgg = (CATALOG[name].multiply_adds for name in ("plain34", "vgg19"))
    assert f"{plain / 1e9:.1f}" == "3.6"
    assert int(100 * plain / vgg) == 18


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_catalog_has_the_same_numbers_for_plain_and_residual(depth):
    assert CATALOG[f"plain{depth}"] == CATALOG[f"resnet{depth}"]


def test_stages():
    assert abstract_intermediates("plain20") == abstract_intermediates("resnet20")
    row = rows_of("plain20")["conv3_x"]
    assert row.kernels == ("3x3/2 32, 3x3 32", "[3x3 32, 3x3 32] x 2")


def make_block(kind):
    """Returns a plain block in evaluation, its variables and an input."""
    conv, norm = partial(Conv, use_bias=False), partial(BatchNorm, use_running_average=True)
    block = kind(3, 2, "none", conv, norm)
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 6, 5, 4), np.float32)
    shapes = jax.eval_shape(block.init, quick_key(), x)
    draw = lambda leaf: jnp.asarray(random.uniform(-1, 1, leaf.shape) ** 2 + 0.1, leaf.dtype)  # noqa: E731
    return block, jax.tree.map(draw, shapes), x - 0.5


def separate_layers(variables, x, sizes):
    """Computes convolutions, each with its normalization and ReLU."""
    channels = lambda array: array.reshape(1, 1, 1, -1)  # noqa: E731
    for i, size in enumerate(sizes, 1):
        kernel, norm = (variables["params"][f"{kind}{i}"] for kind in ("conv", "bn"))
        statistics = jax.tree.map(channels, variables["batch_stats"][f"bn{i}"])
        pads, stride = (size // 2, size // 2), 2 if i == 1 else 1
        x = jax.lax.conv_general_dilated(
            x, kernel["kernel"], (stride,) * 2, (pads, pads), dimension_numbers=LAYOUT
        )
        x = (x - statistics["mean"]) / jnp.sqrt(statistics["var"] + 1e-5)
        x = nn.relu(x * channels(norm["scale"]) + channels(norm["bias"]))
    return x


@pytest.mark.parametrize(("kind", "sizes"), [(BasicBlock, (3, 3)), (Bottleneck, (1, 3, 1))])
def test_block_is_its_convolutions_with_normalization_and_relu(kind, sizes):
    block, variables, x = make_block(kind)
    expected = jax.jit(separate_layers, static_argnames="sizes")(variables, x, sizes)
    y = jax.jit(block.apply)(variables, x)
    assert 0 < (np.asarray(y) == 0).mean() < 1
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_evaluation_is_convolutions_alone():
    """Normalization and ReLU are part of the convolutions that the CPU's kernels compute."""
    block, variables, x = make_block(BasicBlock)
    program = str(jax.make_jaxpr(block.apply)(variables, x))
    assert program.count("flax_vision_convolution_epilogue[") == 2
    assert program.count("relu=True") >= 2
    assert "max" not in program


@pytest.mark.parametrize(
    ("name", "other"), [("resnet_cifar", "resnet56"), ("plain_cifar", "plain56")]
)
def test_option_n_gives_any_depth(name, other):
    assert fv.create_model(name, n=9) == fv.create_model(other)
    assert fv.create_model(name) != fv.create_model(other)


def test_plain_cifar_of_another_depth():
    variables = abstract_variables("plain_cifar", n=1)
    chex.assert_trees_all_equal(variables, abstract_variables("resnet_cifar", n=1))
    assert count(variables["params"]) == 75_290


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "3"])
def test_n_must_be_a_positive_integer(n):
    with pytest.raises(UserError, match="n of resnet_cifar is .*an integer of at least 1"):
        fv.create_model("resnet_cifar", n=n)


@pytest.mark.parametrize("name", ["plain20", "plain_cifar", "plain34"])
def test_options_of_shortcuts_are_hidden(name):
    residual = name.replace("plain", "resnet")
    hidden = {"shortcut", "stochastic_depth", "stochastic_depth_mode"}
    assert model_options(residual).keys() - model_options(name).keys() == hidden


@pytest.mark.parametrize(("name", "plain"), [("resnet20", "plain20"), ("resnet34", "plain34")])
def test_shortcut_none_of_a_resnet_is_the_plain_network(name, plain):
    assert fv.create_model(name, shortcut="none") == fv.create_model(plain)


@pytest.mark.parametrize("name", ["resnet20", "resnet50"])
def test_stochastic_depth_needs_shortcuts(name):
    with pytest.raises(UserError, match="stochastic_depth is 0.2, and with shortcut 'none'"):
        fv.create_model(name, shortcut="none", stochastic_depth=0.2)
