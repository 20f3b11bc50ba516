"""Stochastic depth of ResNet against equations 2 to 5 of Huang et al., 2016."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import abstract_variables, quick_key
from flax import linen as nn

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models.layers import BatchNorm, Conv
from flax_vision.models.residual import BasicBlock, Bottleneck

IMAGES = np.random.default_rng(0).standard_normal((8, 8, 8, 3), np.float32)
RESIDUAL = 3.0


def drop_layers(**options):
    """Returns the layers of resnet20 that drop residuals in training, in order."""
    model, found = fv.create_model("resnet20", **options), []

    def record(method, args, kwargs, context):
        if context.module.name == "drop_path":
            found.append(context.module)
        return method(*args, **kwargs)

    apply = partial(model.apply, train=True, rngs={"dropout": quick_key()}, mutable=True)
    with nn.intercept_methods(record):
        jax.eval_shape(apply, abstract_variables("resnet20"), IMAGES)
    return found


def test_rates_rise_linearly_to_the_last_block():
    rates = [layer.rate for layer in drop_layers(stochastic_depth=0.5)]
    assert rates == pytest.approx([0.5 * block / 9 for block in range(1, 10)])


@pytest.mark.parametrize(("mode", "shared"), [("batch", (0, 1, 2, 3)), ("row", (1, 2, 3))])
def test_mode_determines_what_is_dropped_together(mode, shared):
    layers = drop_layers(stochastic_depth=0.5, stochastic_depth_mode=mode)
    assert {layer.broadcast_dims for layer in layers} == {shared}


def test_default_drops_nothing():
    assert drop_layers() == []


def make_block(kind, shared):
    """Returns a block whose residual function is RESIDUAL for any input, and its variables."""
    drop_path = partial(
        nn.Dropout, 0.25, broadcast_dims=shared, deterministic=False, name="drop_path"
    )
    norm = partial(BatchNorm, use_running_average=False)
    block = kind(2, 1, "A", partial(Conv, use_bias=False), norm, drop_path)

    def constant(path, leaf):
        is_last_bias = path[-2:] == (last, jax.tree_util.DictKey("bias"))
        return jnp.full(leaf.shape, RESIDUAL if is_last_bias else 0.0)

    last = jax.tree_util.DictKey("bn3" if kind is Bottleneck else "bn2")
    rngs = {"params": quick_key(), "dropout": quick_key()}
    shapes = jax.eval_shape(block.init, rngs, jnp.zeros((1, 2, 2, 8 if kind is Bottleneck else 2)))
    return block, jax.tree.map_with_path(constant, shapes)


@pytest.mark.parametrize("kind", [BasicBlock, Bottleneck])
@pytest.mark.parametrize("shared", [(0, 1, 2, 3), (1, 2, 3)], ids=["batch", "row"])
def test_block_adds_the_residual_over_its_probability_or_nothing(kind, shared):
    block, variables = make_block(kind, shared)
    channels = 8 if kind is Bottleneck else 2
    x = np.random.default_rng(1).random((64, 2, 2, channels), np.float32)
    apply = jax.jit(partial(block.apply, mutable=["batch_stats"]))
    steps = [apply(variables, x, rngs={"dropout": quick_key(seed)})[0] - x for seed in range(8)]
    added = np.asarray(steps).reshape(8, 64, -1)
    assert set(np.unique(added.round(4))) == {0.0, RESIDUAL / 0.75}
    choices = added[:, :, 0] > 0
    if 0 in shared:
        assert (choices == choices[:, :1]).all()
    else:
        assert choices.mean() == pytest.approx(0.75, abs=0.1)


@pytest.fixture(scope="module")
def model():
    return fv.create_model("resnet20", stochastic_depth=0.9).clone(n=1)


@pytest.fixture(scope="module")
def variables(model):
    return jax.jit(model.init)(quick_key(), IMAGES)


def train(model, variables, seed):
    apply = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
    return np.asarray(apply(variables, IMAGES, rngs={"dropout": quick_key(seed)})[0])


def test_parameters_and_evaluation_are_those_without(model, variables):
    plain = model.clone(stochastic_depth=0.0)

    def program(model):
        return jax.jit(model.apply).lower(variables, IMAGES).as_text()

    shapes = jax.eval_shape(plain.init, quick_key(), IMAGES)
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)
    assert program(model) == program(plain)


@pytest.mark.slow
def test_key_determines_the_dropped_blocks_with_and_without_recomputation(model, variables):
    first = train(model, variables, 0)
    np.testing.assert_array_equal(train(model.clone(remat=True), variables, 0), first)
    assert any(not np.array_equal(train(model, variables, seed), first) for seed in (1, 2, 3))


@pytest.mark.parametrize("rate", [1, -0.1])
def test_probability_must_be_a_share(rate):
    with pytest.raises(UserError, match="stochastic_depth of resnet20 is .*from 0 to below 1"):
        fv.create_model("resnet20", stochastic_depth=rate)
