import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

from flax_vision.data.batches import Batch
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.models.resnet import CifarResNet
from flax_vision.training.config_schema import default_config
from flax_vision.training.freeze import check_lr_mult, frozen_layers, trainable_params
from flax_vision.training.losses import make_loss
from flax_vision.training.optimizers import make_optimizer
from flax_vision.training.schedules import make_plateau
from flax_vision.training.state import TrainSpec
from flax_vision.training.step import TrainFunctions

MODEL = CifarResNet(n=1, num_classes=4)
TRUNK = "(?!fc|conv4).*"
"""Pattern of all layers before the last stage."""


@pytest.fixture(scope="module")
def shapes():
    images = jax.ShapeDtypeStruct((1, 8, 8, 3), "float32")
    return jax.eval_shape(MODEL.init, jax.random.key(0), images)["params"]


def make_functions(shapes, pattern, **settings):
    config = default_config()
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 8, 8, 3), np.uint8)
    indices = np.arange(4, dtype=np.int32)
    batch = Batch(images, indices, np.ones(4, bool), indices)
    spec = TrainSpec(
        make_loss("cross_entropy", 0.0),
        make_optimizer(config.optimizer),
        optax.constant_schedule(0.1),
        make_plateau(config.schedule),
        frozen=frozen_layers(pattern, shapes),
        **settings,
    )
    return TrainFunctions(MODEL, spec, Preprocessing((128.0,), (64.0,)), batch), batch


@pytest.fixture(scope="module")
def step(shapes):
    """The initial state and the state after one step, with an average of the parameters."""
    functions, batch = make_functions(shapes, TRUNK, ema_decay=0.5)
    state = functions.init(0)
    before = jax.device_get(state)
    return before, jax.device_get(functions.compile_training()(state, batch))


def is_trunk(name):
    return bool(re.fullmatch(TRUNK, name))


def test_only_frozen_layers_keep_their_parameters(step):
    before, after = step
    for name, layer in before.params.items():
        same = jax.tree.map(np.array_equal, layer, after.params[name])
        assert all(jax.tree.leaves(same)) == is_trunk(name), name


def test_only_frozen_layers_keep_their_statistics(step):
    before, after = (x.statistics["batch_stats"] for x in step)
    for name, layer in before.items():
        same = jax.tree.map(np.array_equal, layer, after[name])
        assert all(jax.tree.leaves(same)) == is_trunk(name), name


def test_optimizer_and_average_exclude_frozen_layers(step, shapes):
    _, after = step
    (trace,) = [x for x in jax.tree.leaves(after.opt_state, is_leaf=_is_trace) if _is_trace(x)]
    assert sorted(trace.trace) == ["conv4_1", "fc"]
    assert sorted(after.average) == sorted(trace.trace)
    assert sorted(after.variables["params"]) == sorted(shapes)


def _is_trace(x):
    return isinstance(x, optax.TraceState)


@pytest.mark.slow
def test_frozen_batch_norm_uses_running_statistics(shapes):
    """A frozen trunk gives the same features in training and evaluation."""
    functions, batch = make_functions(shapes, TRUNK)
    variables = functions.init(0).variables
    frozen = frozen_layers(TRUNK, shapes)
    frozen_collection = {}
    for layer in frozen:
        leaf = frozen_collection
        for name in layer:
            leaf = leaf.setdefault(name, {})
        leaf["statistics"] = True
    images = jnp.asarray(batch.images, jnp.float32) / 64

    def maps(train, **more):
        settings = {"train": train, "mutable": ["intermediates", "batch_stats"]}
        apply = jax.jit(lambda variables: MODEL.apply({**variables, **more}, images, **settings))
        return apply(variables)[1]["intermediates"]["conv3_x"][0]

    tested = maps(False)
    chex.assert_trees_all_equal(maps(True, frozen=frozen_collection), tested)
    assert not np.allclose(maps(True), tested, rtol=0.1)


def test_frozen_trunk_has_no_gradient(shapes):
    def gradients(pattern):
        functions, batch = make_functions(shapes, pattern)
        return _gradients(jax.make_jaxpr(functions._train_step)(functions.state, batch).jaxpr)

    assert gradients("(?!fc).*") == 0
    # The kernels of 7 convolutions, and the inputs of all but the first.
    assert gradients("") == 7 + 6


def _gradients(jaxpr):
    """Returns the number of convolution gradients in a program and its functions."""
    found = 0
    for equation in jaxpr.eqns:
        found += bool(re.search("convolution.*gradient", equation.primitive.name))
        for inner in jaxprs_in_params(equation.params):
            found += _gradients(inner)
    return found


def test_whole_paths_match(shapes):
    assert frozen_layers("bn1", shapes) == {("bn1",)}
    assert frozen_layers("conv2_1/bn.", shapes) == {("conv2_1", "bn1"), ("conv2_1", "bn2")}
    assert len(frozen_layers("conv2_1", shapes)) == 4
    assert frozen_layers("", shapes) == frozenset()


def test_trainable_params(shapes):
    assert list(trainable_params(shapes, frozen_layers("(?!fc).*", shapes))) == ["fc"]
    assert trainable_params(shapes, frozenset()) is shapes


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("conv2_2", "'conv2_2', and no layer has such a name; the nearest are conv2_"),
        ("zzzz", "no layer has such a name; some are bn1"),
        (".*", "matches every layer and leaves nothing to train"),
        ("(", "no regular expression"),
    ],
)
def test_invalid_patterns(pattern, message, shapes):
    with pytest.raises(UserError, match=re.escape(message)):
        frozen_layers(pattern, shapes)


def test_valid_rates_of_layers(shapes):
    check_lr_mult((("conv1", 0.1), ("conv.*", 0.5)), frozen_layers("bn1", shapes), shapes)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["conv2_2"], "lr_mult is 'conv2_2', and no layer has such a name; the nearest are conv2_"),
        (["("], "config.optimizer.lr_mult is '(', which is no regular expression"),
        (["bn1"], "has 'bn1', and all its layers are frozen or match an earlier pattern"),
        (["conv.*", "conv2_1"], "has 'conv2_1', and all its layers are frozen or match an earlier"),
    ],
)
def test_patterns_that_change_no_rate(patterns, message, shapes):
    with pytest.raises(UserError, match=re.escape(message)):
        check_lr_mult([(x, 0.1) for x in patterns], frozen_layers("bn1", shapes), shapes)
