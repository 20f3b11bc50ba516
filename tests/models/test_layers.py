from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import abstract_apply, abstract_images, abstract_variables, dropouts, quick_key

import flax_vision as fv
from flax_vision.models.columns import map_columns
from flax_vision.models.layers import (
    SCALED_TO_INPUTS,
    BatchNorm,
    Conv,
    FullyConnected,
    LocalResponseNorm,
    MaxPool,
    init_as_matrix,
)

MODELS = [
    "lenet5",
    "lenet5_modern",
    "alexnet",
    "alexnet_owt",
    "vgg_a_lrn",
    "vgg11_bn",
    "googlenet",
    "googlenet_bn",
    "googlenet_torchvision",
    "resnet18",
    "resnet50_v1_5",
    "resnet20",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_half_precision_is_for_the_arithmetic_only(name):
    model = fv.create_model(name, dtype=jnp.bfloat16)
    variables = abstract_variables(name, dtype=jnp.bfloat16)
    images = abstract_images(name, batch=2)
    logits, updates = abstract_apply(model, variables, images, train=True)
    assert logits.dtype == jnp.float32
    for collection in (variables, updates.get("batch_stats", {})):
        assert {x.dtype for x in jax.tree.leaves(collection)} <= {jnp.dtype("float32")}
    maps = {key: x.dtype for key, (x,) in updates["intermediates"].items() if "aux" not in key}
    assert set(maps.values()) == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("name", MODELS)
def test_number_of_classes(name):
    variables = abstract_variables(name, num_classes=7)
    logits, _ = abstract_apply(
        fv.create_model(name, num_classes=7), variables, abstract_images(name, batch=3)
    )
    chex.assert_shape(logits, (3, 7))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((64, 64, 3), "float32"), ((2, 1, 64, 64, 3), "float32"), ((2, 64, 64, 3), "uint8")],
)
def test_images_must_be_floating_point_and_of_rank_four(name, shape, dtype):
    model = fv.create_model(name)
    given = f"{dtype}\\[{','.join(map(str, shape))}\\]"
    with pytest.raises(ValueError, match=f"takes floating-point images .N, H, W, C.*{given}"):
        jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, dtype))


@pytest.mark.parametrize(
    ("name", "smallest"),
    [("alexnet", 64), ("alexnet_owt", 63), ("vgg_a", 32), ("vgg19_bn", 32)],
)
def test_smallest_image(name, smallest):
    variables = abstract_variables(name, size=smallest)
    assert min(min(x.shape, default=1) for x in jax.tree.leaves(variables)) > 0
    with pytest.raises(ValueError, match=f"takes images of at least {smallest}x{smallest}; not"):
        abstract_variables(name, size=smallest - 1)


HEADS = [("auxiliary_4a/fc", 0.7), ("auxiliary_4d/fc", 0.7)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alexnet", [("fc6", 0.5), ("fc7", 0.5)]),
        ("alexnet_owt", [("MaxPool_2", 0.5), ("fc6", 0.5)]),
        ("vgg_a", [("fc6", 0.5), ("fc7", 0.5)]),
        ("googlenet", [*HEADS, ("GlobalAveragePool_0", 0.4)]),
        ("googlenet_torchvision", [*HEADS, ("GlobalAveragePool_0", 0.2)]),
        ("resnet18", []),
    ],
)
def test_dropout_is_where_the_paper_has_it_and_only_in_training(name, expected):
    assert dropouts(name, train=True) == expected
    assert dropouts(name, train=False) == []


@pytest.mark.parametrize("name", ["alexnet", "alexnet_owt", "vgg_a", "googlenet_bn"])
def test_rate_of_dropout_is_an_option(name):
    rates = {rate for _, rate in dropouts(name, train=True, dropout=0.25)}
    assert rates == {0.25}


def test_a_fully_connected_layer_is_initialized_as_a_matrix():
    def init(key, shape, dtype):
        assert shape == (2, 3 * 4 * 5, 6)
        return jnp.arange(720, dtype=dtype).reshape(shape)

    kernel = init_as_matrix(init)(None, (2, 3, 4, 5, 6), jnp.float32)
    np.testing.assert_array_equal(kernel.ravel(), np.arange(720))


@pytest.mark.parametrize(
    ("name", "std"), [("he", (2 / (9 * 40)) ** 0.5), ("glorot", (2 / (9 * (40 + 160))) ** 0.5)]
)
def test_scale_of_a_convolution(name, std):
    kernel = SCALED_TO_INPUTS[name]()(quick_key(), (3, 3, 40, 160), jnp.float32)
    assert np.std(kernel) == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("size", [(6, 7), (7, 6), (6, 5)])
def test_maps_of_a_fully_connected_layer_have_a_height_and_a_width(size, dense):
    layer = FullyConnected(2, fully_convolutional=dense, name="fc")
    variables = jax.eval_shape(layer.init, quick_key(), jnp.ones((1, 6, 6, 3)))
    maps = jnp.ones((1, *size, 3))
    if dense and min(size) >= 6:
        outputs = jax.eval_shape(layer.apply, variables, maps)
        chex.assert_shape(outputs, (1, size[0] - 5, size[1] - 5, 2))
    else:
        with pytest.raises(ValueError, match=f"maps of 6x6, .* maps of {size[0]}x{size[1]}"):
            jax.eval_shape(layer.apply, variables, maps)


def test_layers_without_parameters_map_columns():
    a, b = jnp.ones((1, 5, 5, 6)), 2 * jnp.ones((1, 5, 5, 6))
    own = partial(map_columns, mesh=None)
    for layer in (partial(MaxPool, 3, 2), LocalResponseNorm):
        columns = layer(map_columns=own).apply({}, jnp.concatenate([a, b], axis=-1))
        expected = [layer().apply({}, column) for column in (a, b)]
        chex.assert_trees_all_equal(columns, jnp.concatenate(expected, axis=-1))


def test_convolution_without_bias():
    layer = Conv(4, 3, use_bias=False)
    variables = layer.init(jax.random.key(0), jnp.ones((1, 5, 5, 2)))
    chex.assert_tree_all_finite(variables)
    assert set(variables["params"]) == {"kernel"}


def test_running_statistics_keep_nine_tenths():
    layer = BatchNorm(use_running_average=False)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3, 3, 2), np.float32))
    variables = layer.init(jax.random.key(0), x)
    _, updates = layer.apply(variables, x, mutable=["batch_stats"])
    expected = {"mean": 0.1 * x.mean((0, 1, 2)), "var": 0.9 + 0.1 * x.var((0, 1, 2))}
    chex.assert_trees_all_close(updates["batch_stats"], expected, rtol=1e-5)
