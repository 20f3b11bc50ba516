"""Activations of layers, against the models' own intermediates and parameters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import lively_variables
from flax import linen as nn

import flax_vision as fv
from flax_vision.analysis.report.figures.feature_maps import stages
from flax_vision.errors import UserError

IMAGES = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def lenet5():
    model = fv.create_model("lenet5_modern")
    with jax.default_prng_impl("unsafe_rbg"):
        return model, jax.jit(model.init)(jax.random.key(0), IMAGES)


def test_named_output_is_the_stage_of_the_feature_maps(lenet5):
    found = fv.features(*lenet5, IMAGES, "s4")
    np.testing.assert_array_equal(found, stages(*lenet5, IMAGES)["s4"])
    assert isinstance(found, np.ndarray)


def test_module_is_its_output(lenet5):
    model, variables = lenet5
    dense = jax.device_get(variables["params"]["F6"])
    expected = fv.features(model, variables, IMAGES, "c5").reshape(2, -1) @ dense["kernel"]
    found = fv.features(model, variables, IMAGES, "F6")
    np.testing.assert_allclose(found, expected + dense["bias"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        fv.features(model, variables, IMAGES, "OUT"), jax.jit(model.apply)(variables, IMAGES)
    )


def test_numbers_are_float32_in_any_arithmetic(lenet5):
    _, variables = lenet5
    model = fv.create_model("lenet5_modern", dtype="bfloat16")
    assert fv.features(model, variables, IMAGES, "c1").dtype == np.float32


@pytest.mark.slow
def test_folded_layers_have_their_own_outputs():
    images = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)
    model = fv.create_model("resnet20").clone(n=1)
    variables = lively_variables(model, images)
    find = partial(fv.features, model, variables, images)
    norm, statistics = (variables[name]["conv2_1"]["bn1"] for name in ("params", "batch_stats"))
    scale = norm["scale"] / np.sqrt(statistics["var"] + 1e-5)
    expected = (find("conv2_1/conv1") - statistics["mean"]) * scale + norm["bias"]
    np.testing.assert_allclose(find("conv2_1/bn1"), expected, rtol=1e-4, atol=1e-4)
    block = np.maximum(find("conv2_1/bn2") + find("relu1"), 0)
    np.testing.assert_allclose(find("conv2_1"), block, rtol=1e-4, atol=1e-4)


class Nested(nn.Module):
    """A model of two levels, whose inner layer is applied twice."""

    @nn.compact
    def __call__(self, x, *, train=False):
        layer = nn.Dense(1, kernel_init=nn.initializers.ones, name="layer")
        return Inner(name="inner")(layer(layer(x)))


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, name="layer")(x)


@pytest.mark.slow
def test_path_has_slashes_and_the_last_output_counts():
    model, x = Nested(), jnp.full((2, 1), 5.0)
    variables = model.init(jax.random.key(0), x)
    assert fv.features(model, variables, x, "inner/layer").shape == (2, 3)
    np.testing.assert_array_equal(fv.features(model, variables, x, "layer"), [[5.0], [5.0]])
    with pytest.raises(UserError, match="Valid: inner, inner/layer, layer.$"):
        fv.features(model, variables, x, "outer/other")


def test_unknown_layer_offers_the_nearest_and_lists_all(lenet5):
    message = "unknown layer of LeNet5Modern 's5'; did you mean 's4'|'c5'|'s2'.* Valid: C1, C3"
    with pytest.raises(UserError, match=message) as raised:
        fv.features(*lenet5, IMAGES, "s5")
    assert "__call__" not in str(raised.value)


def test_images_that_do_not_fit_are_the_error_of_the_model(lenet5):
    with pytest.raises(ValueError, match="takes floating-point images"):
        fv.features(*lenet5, IMAGES.astype(np.uint8), "c1")
