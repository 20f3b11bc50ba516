"""The comparisons of the AlexNet paper: sections 3.1 to 3.4, and 4.2."""

import jax
import numpy as np
import pytest
from abstract import (
    abstract_intermediates,
    abstract_variables,
    count,
    dropouts,
    initial_params,
    lively_variables,
    rows_of,
)

import flax_vision as fv
from flax_vision.models.layers import AveragePool

# Model, layer, its outputs, parameters.
LAYERS = [
    ("alexnet_half", "conv1", (55, 55, 48), 17_472),
    ("alexnet_half", "conv2", (27, 27, 128), 153_728),
    ("alexnet_half", "conv3", (13, 13, 192), 221_376),
    ("alexnet_half", "conv4", (13, 13, 192), 331_968),
    ("alexnet_half", "conv5", (13, 13, 256), 442_624),
    ("alexnet_half", "fc6", (1, 1, 4096), 37_752_832),
    ("alexnet_half", "fc7", (1, 1, 4096), 16_781_312),
    ("alexnet_one_column", "conv1", (55, 55, 96), 34_944),
    ("alexnet_one_column", "conv2", (27, 27, 256), 614_656),
    ("alexnet_one_column", "conv4", (13, 13, 384), 1_327_488),
    ("alexnet_one_column", "conv5", (13, 13, 256), 884_992),
    ("alexnet_cifar", "conv1", (32, 32, 32), 2_432),
    ("alexnet_cifar", "conv2", (16, 16, 32), 25_632),
    ("alexnet_cifar", "conv3", (8, 8, 64), 51_264),
    ("alexnet_cifar", "fc4", (1, 1, 10), 10_250),
]
SIZES = {"pool1": 27, "pool2": 13, "pool5": 6}


@pytest.mark.parametrize(("name", "layer", "output", "parameters"), LAYERS)
def test_layer(name, layer, output, parameters):
    row = rows_of(name)[layer]
    assert (row.output, row.parameters) == (output, parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("alexnet_half", 59_798_312),
        ("alexnet_one_column", 62_378_344),
        ("alexnet_cifar", 89_578),
    ],
)
def test_totals(name, parameters):
    assert count(abstract_variables(name)) == parameters


def test_half_the_kernels_are_about_as_many_parameters():
    """Section 3.2: the two nets have "approximately the same number of parameters"."""
    ours, papers = (count(abstract_variables(name)) for name in ("alexnet_half", "alexnet"))
    assert ours == pytest.approx(papers, rel=0.02)


@pytest.mark.parametrize("name", ["alexnet", "alexnet_half", "alexnet_one_column"])
@pytest.mark.parametrize("options", [{}, {"pool": "2/2"}, {"lrn": "none"}])
def test_comparisons_keep_sizes_and_parameters(name, options):
    shapes = abstract_intermediates(name, **options)
    assert {pool: shapes[pool][0] for pool in SIZES} == SIZES
    assert ("norm1" in shapes, "norm2" in shapes) == ("lrn" not in options,) * 2
    assert count(abstract_variables(name, **options)) == count(abstract_variables(name))


@pytest.fixture(scope="module")
def pooled():
    """The input and the output of the last pool of 2x2 windows, without dropout."""
    model = fv.create_model("alexnet", num_classes=3, pool="2/2", lrn="none")
    images = np.random.default_rng(0).standard_normal((1, 95, 95, 3), np.float32)
    variables = lively_variables(model, images)
    outputs = jax.jit(lambda v: model.apply(v, images, mutable=["intermediates"])[1])(variables)
    return {name: np.asarray(value[0]) for name, value in outputs["intermediates"].items()}


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "pool"), [("relu1", "pool1"), ("relu5", "pool5")])
def test_windows_of_2x2_do_not_overlap(layer, pool, pooled):
    side = pooled[layer].shape[1] // 2
    even = pooled[layer][:, : 2 * side, : 2 * side]
    blocks = even.reshape(1, side, 2, side, 2, -1)
    np.testing.assert_array_equal(pooled[pool], blocks.max(axis=(2, 4)))


def test_no_normalization_needs_no_exchange():
    mesh = fv.make_mesh(data=1, column=2)
    fv.create_model("alexnet", lrn="none", mesh=mesh)
    with pytest.raises(ValueError, match="choose one of paper, 2012code, none, or a mesh"):
        fv.create_model("alexnet", lrn="caffe", mesh=mesh)


@pytest.mark.parametrize("name", ["alexnet", "alexnet_half"])
def test_dropout_can_be_turned_off(name):
    active = [rate for _, rate in dropouts(name, train=True)]
    assert active == [0.5, 0.5]
    assert [rate for _, rate in dropouts(name, train=True, dropout=0.0)] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("initialization", "stds", "ones"),
    [
        ("paper", {"conv1": 0.01, "conv3": 0.01}, {"conv2", "conv4", "conv5", "fc6", "fc7"}),
        ("he", {"conv3": (2 / 1152) ** 0.5}, set()),
    ],
)
def test_initialization_of_one_column(initialization, stds, ones):
    params = initial_params("alexnet_half", 64, *stds, initialization=initialization)
    for layer, std in stds.items():
        assert np.std(params[layer]["kernel"]) == pytest.approx(std, rel=0.02)
    assert {layer for layer in params if np.all(params[layer]["bias"] == 1)} == ones


@pytest.mark.slow
def test_initialization_of_the_cifar_model():
    params = initial_params("alexnet_cifar", 32, "conv1", "conv2", "conv3", "fc4")
    found = {layer: float(np.std(leaves["kernel"])) for layer, leaves in params.items()}
    expected = {"conv1": 0.0001, "conv2": 0.01, "conv3": 0.01, "fc4": 0.01}
    assert found == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_activation_of_the_cifar_model(activation):
    model = fv.create_model("alexnet_cifar", activation=activation)
    images = np.random.default_rng(0).standard_normal((1, 16, 16, 3), np.float32)
    variables = lively_variables(model, images)
    kernel = variables["params"]["conv1"]["kernel"]
    outputs = jax.jit(lambda v: model.apply(v, images, mutable=["intermediates"])[1])(variables)
    center = np.tensordot(images[0, 3:8, 4:9], kernel, 3)
    expected = np.maximum(center, 0) if activation == "relu" else np.tanh(center)
    actual = outputs["intermediates"]["act1"][0][0, 5, 6]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "expected"), [(32, 16), (7, 3)])
def test_windows_over_the_edge_average_the_pixels_inside(size, expected):
    x = np.random.default_rng(0).standard_normal((1, size, size + 2, 2), np.float32)
    y = np.asarray(AveragePool(3, 2, ceil=True)(jax.numpy.asarray(x)))
    assert y.shape == (1, expected, expected + 1, 2)
    last = x[:, 2 * (expected - 1) :][:, :3, :3]
    np.testing.assert_allclose(y[:, -1, 0], last.mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)
