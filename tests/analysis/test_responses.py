"""Layer responses against outputs of single layers and figure 7 of ResNet's paper."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import flax_vision as fv
from flax_vision.analysis.responses import layer_responses, response_stds
from flax_vision.errors import UserError
from flax_vision.models.conv_bn_relu import conv_bn_relu
from flax_vision.models.layers import BatchNorm, Conv
from flax_vision.models.residual import BasicBlock, Block, Bottleneck

IMAGES = np.random.default_rng(1).standard_normal((5, 6, 6, 3), np.float32)


class Tiny(nn.Module):
    """A convolution and a block, with a 5x5 convolution and an unnormalized one between."""

    shortcut: str = "none"
    block: type[Block] = BasicBlock

    @nn.compact
    def __call__(self, images, *, train=False):
        conv = partial(Conv, use_bias=False)
        norm = partial(BatchNorm, use_running_average=not train)
        x = conv_bn_relu(images, conv(4, 3, padding=1, name="conv1"), norm(name="bn1"))
        x = conv_bn_relu(x, conv(4, 5, padding=2, name="wide"), norm(name="wide_bn"))
        x = nn.relu(conv(4, 3, padding=1, name="free")(x))
        block = self.block(4, 2, self.shortcut, conv, norm, name="conv2_1")
        return nn.Dense(2, name="fc")(block(x).mean(axis=(1, 2)))


LAYERS = ["conv1", "conv2_1/conv1", "conv2_1/conv2"]


def variables_of(model):
    """Returns random variables; scales, shifts and statistics are not the initial ones."""
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGES)

    def draw(leaf):
        low = -0.5 if leaf.ndim > 1 else 0.1
        return jnp.asarray(random.uniform(low, -low if low < 0 else 1, leaf.shape), leaf.dtype)

    return jax.tree.map(draw, shapes)


@pytest.fixture(scope="module")
def plain():
    return Tiny(), variables_of(Tiny())


@pytest.fixture(scope="module")
def responses(plain):
    return layer_responses(*plain, IMAGES)


def test_normalized_3x3_layers_have_responses_in_their_order(responses):
    assert list(responses) == LAYERS
    assert [x.shape for x in responses.values()] == [(5, 6, 6, 4), (5, 3, 3, 4), (5, 3, 3, 4)]


@pytest.mark.parametrize("layer", LAYERS)
def test_response_is_the_output_of_the_normalization(plain, responses, layer):
    path, _, name = layer.rpartition("conv")
    expected = fv.features(*plain, IMAGES, f"{path}bn{name}")
    assert expected.min() < 0 < expected.max()  # before the ReLU
    np.testing.assert_allclose(responses[layer], expected, rtol=1e-5, atol=1e-6)


def test_responses_come_before_the_addition(plain, responses):
    residual = layer_responses(Tiny("A"), plain[1], IMAGES)
    for layer in LAYERS:
        np.testing.assert_allclose(residual[layer], responses[layer], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("block", "layers"), [(BasicBlock, LAYERS), (Bottleneck, ["conv1", "conv2_1/conv2"])]
)
def test_1x1_convolutions_have_no_responses(block, layers):
    model = Tiny("B", block)
    variables = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    found = jax.eval_shape(partial(layer_responses, model), variables, IMAGES)
    assert list(found) == layers


def test_number_of_layers_of_figure_7():
    model = fv.create_model("plain20")
    x = jax.ShapeDtypeStruct((1, 8, 8, 3), "float32")
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    assert len(jax.eval_shape(partial(layer_responses, model), variables, x)) == 19


@pytest.mark.parametrize("batch_size", [2, 128])
def test_stds_are_those_of_all_images_together(plain, responses, batch_size):
    stds = response_stds(*plain, IMAGES, batch_size)
    assert list(stds) == LAYERS
    expected = [np.asarray(x, np.float64).std() for x in responses.values()]
    np.testing.assert_allclose(list(stds.values()), expected, rtol=1e-5)


def test_evaluation_stays_fused_after_a_call(plain, responses):
    model, variables = plain
    program = str(jax.make_jaxpr(model.apply)(variables, IMAGES))
    assert len(responses) == 3
    assert program.count("flax_vision_convolution_epilogue[") == 4  # all but the one without


def test_models_without_batch_normalization_have_no_responses():
    model = fv.create_model("lenet5_modern")
    x = np.zeros((1, 28, 28, 1), np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    with pytest.raises(UserError, match="LeNet5Modern has no batch normalization after a 3x3"):
        layer_responses(model, variables, x)


def test_stds_need_images(plain):
    with pytest.raises(UserError, match="no images"):
        response_stds(*plain, IMAGES[:0])
