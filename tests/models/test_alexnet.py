"""AlexNet against section 3 and figure 2 of its paper."""

import chex
import jax
import numpy as np
import pytest
from abstract import (
    abstract_apply,
    abstract_images,
    abstract_intermediates,
    abstract_variables,
    count,
    initial_params,
    lively_variables,
    quick_key,
    rows_of,
)

import flax_vision as fv

# Layer, its outputs in both columns, parameters of a column, multiply-adds of both.
LAYERS = [
    ("conv1", "relu1", (55, 55, 96), 17_472, 105_415_200),
    ("conv2", "relu2", (27, 27, 256), 153_728, 223_948_800),
    ("conv3", "relu3", (13, 13, 384), 442_560, 149_520_384),
    ("conv4", "relu4", (13, 13, 384), 331_968, 112_140_288),
    ("conv5", "relu5", (13, 13, 256), 221_312, 74_760_192),
    ("fc6", "relu6", (1, 1, 4096), 18_876_416, 37_748_736),
    ("fc7", "relu7", (1, 1, 4096), 8_390_656, 16_777_216),
]
POOLS = {"pool1": (27, 27, 96), "pool2": (13, 13, 256), "pool5": (6, 6, 256)}


@pytest.fixture(scope="module")
def variables():
    return abstract_variables("alexnet")


@pytest.mark.parametrize(("layer", "output", "shape", "parameters", "multiply_adds"), LAYERS)
def test_layer(layer, output, shape, parameters, multiply_adds, variables):
    assert abstract_intermediates("alexnet")[output] == shape
    chex.assert_tree_shape_prefix(variables["params"][layer], (2,))
    assert count(variables["params"][layer]) == 2 * parameters
    row = rows_of("alexnet")[layer]
    assert (row.output, row.parameters) == (shape, 2 * parameters)
    assert row.multiply_adds == multiply_adds


def test_pools_overlap():
    shapes = abstract_intermediates("alexnet")
    assert {pool: shapes[pool] for pool in POOLS} == POOLS


def test_neurons():
    shapes = abstract_intermediates("alexnet")
    neurons = [int(np.prod(shapes[output])) for _, output, *_ in LAYERS]
    # The caption of figure 2 gives 253,440 for the first layer, which is 55x48x96.
    assert neurons == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096]


def test_totals(variables):
    assert count(variables) == 60_965_224
    kernels = [x for path, x in jax.tree.leaves_with_path(variables) if "kernel" in str(path)]
    assert count(kernels) == 60_954_656
    assert sum(row.multiply_adds for row in rows_of("alexnet").values()) == 724_406_816
    assert count(abstract_variables("alexnet_owt")) == 61_100_840
    assert variables["params"]["fc8"]["kernel"].size + 1000 == 4_097_000


def test_columns_are_not_a_grouped_convolution(variables):
    model, images = fv.create_model("alexnet"), abstract_images("alexnet")
    jaxpr = jax.make_jaxpr(model.apply)(variables, images)
    groups = [
        eqn.params.get("feature_group_count", 1)  # our primitive has no groups
        for eqn in jaxpr.eqns
        if "conv" in eqn.primitive.name
    ]
    assert groups == [1] * 10


def test_227_pixels_do_not_reach_the_padding_of_224():
    for size in (224, 227):
        assert abstract_intermediates("alexnet", size=size)["relu1"] == (55, 55, 96)
        assert count(abstract_variables("alexnet", size=size)) == 60_965_224


@pytest.fixture(scope="module")
def small():
    """AlexNet for 64x64 images, and parameters that keep every layer alive."""
    model = fv.create_model("alexnet", num_classes=3, lrn="paper")
    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3), np.float32)
    return model, lively_variables(model, images), images


def test_column_b_depends_on_column_a_from_conv3_on(small):
    model, variables, images = small
    perturbed = jax.tree.map(np.copy, variables)
    for layer in ("conv1", "conv2"):
        perturbed["params"][layer]["kernel"][0] += 0.1
    apply = jax.jit(lambda v: model.apply(v, images, mutable=["intermediates"]))
    before, after = (apply(v)[1]["intermediates"] for v in (variables, perturbed))

    def differs(name, column):
        halves = (
            np.split(np.asarray(outputs[name][0]), 2, axis=-1)[column]
            for outputs in (before, after)
        )
        return not np.array_equal(*halves)

    for name in ("relu1", "norm1", "pool1", "relu2", "norm2", "pool2"):
        assert differs(name, 0)
        assert not differs(name, 1)
    for name in ("relu3", "relu4", "relu5", "pool5", "relu6", "relu7"):
        assert differs(name, 0)
        assert differs(name, 1)


def test_columns_have_different_initial_weights():
    kernels = initial_params("alexnet", 64, "conv1")["conv1"]["kernel"]
    assert not np.array_equal(kernels[0], kernels[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("initialization", "stds", "ones"),
    [
        ("paper", {"conv1": 0.01, "conv3": 0.01, "fc6": 0.01, "fc8": 0.01}, True),
        ("2012code", {"conv1": 0.01, "conv3": 0.03, "conv5": 0.03, "fc6": 0.01}, True),
        # conv4 has 3x3x192 inputs and as many outputs.
        ("he", {"conv4": (2 / 1728) ** 0.5, "fc8": (2 / 4096) ** 0.5}, False),
        ("glorot", {"conv4": (1 / 1728) ** 0.5, "fc7": (2 / 6144) ** 0.5}, False),
        # With 64x64 images fc6 has 256 inputs, and 2,048 units in a column.
        ("glorot", {"fc6": (2 / (256 + 2048)) ** 0.5}, False),
    ],
)
def test_initialization(initialization, stds, ones):
    params = initial_params("alexnet", 64, *stds, initialization=initialization)
    for layer, std in stds.items():
        assert np.std(params[layer]["kernel"]) == pytest.approx(std, rel=0.02)
    biased = {layer for layer in params if np.all(params[layer]["bias"] == 1)}
    assert biased == ({"conv2", "conv4", "conv5", "fc6", "fc7"} if ones else set())
    unbiased = {layer for layer in params if np.all(params[layer]["bias"] == 0)}
    assert unbiased == set(params) - biased


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "alexnet_owt"])
def test_fully_convolutional_application(name):
    ordinary = fv.create_model(name, num_classes=3)
    dense = fv.create_model(name, num_classes=3, fully_convolutional=True)
    images = np.random.default_rng(0).standard_normal((1, 96, 160, 3), np.float32)
    small = images[:, :, :96]
    variables = jax.device_put(lively_variables(ordinary, small))
    apply = jax.jit(lambda v, x: dense.apply(v, x, mutable=["intermediates"]))
    np.testing.assert_allclose(
        apply(variables, small)[0], jax.jit(ordinary.apply)(variables, small), rtol=1e-4, atol=1e-5
    )
    logits, state = apply(variables, images)
    scores = state["intermediates"]["scores"][0]
    chex.assert_shape(scores, (1, 1, 3, 3))
    assert np.ptp(scores, axis=2).min() > 1e-3
    np.testing.assert_allclose(logits, scores.mean(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "alexnet_owt"])
def test_error_for_another_size_than_at_init(name):
    variables = abstract_variables(name)
    model = fv.create_model(name)
    message = "fc6 was initialized for maps of 6x6, and these images make maps of 9x9.*" + (
        "fully_convolutional=True"
    )
    with pytest.raises(ValueError, match=message):
        abstract_apply(model, variables, abstract_images(name, size=320))
    convolutional = fv.create_model(name, fully_convolutional=True)
    with pytest.raises(ValueError, match="make maps of 5x5"):
        abstract_apply(convolutional, variables, abstract_images(name, size=200))


def test_dropout(small):
    model, variables, images = small
    train = jax.jit(lambda v, key: model.apply(v, images, train=True, rngs={"dropout": key}))
    logits = [train(variables, quick_key(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert not np.allclose(logits[0], logits[2])
