import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.errors import UserError
from flax_vision.models.registry import create_model
from flax_vision.training.warm_start import layers_of
from flax_vision.weights import exported


def shapes(name):
    init = create_model(name, num_classes=3).init
    images = jax.ShapeDtypeStruct((1, 28, 28, 1), "float32")
    return jax.eval_shape(init, jax.random.key(0), images)["params"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The export of a modern LeNet-5 whose parameters are all 7."""
    path = tmp_path_factory.mktemp("trained") / "export"
    card = exported.ModelCard(
        "lenet5_modern", {}, ["a", "b", "c"], [28, 28, 1], Preprocessing([0.0], [1.0]), {}
    )
    params = jax.tree.map(lambda x: jnp.full(x.shape, 7.0), shapes("lenet5_modern"))
    exported.save(path, card, {"params": params})
    return str(path)


def test_chosen_layers_and_no_others(trained):
    layers = layers_of(trained, "C1|F.*", shapes("lenet5_modern"))
    assert sorted(layers) == ["C1", "F6"]
    np.testing.assert_array_equal(layers["F6"]["kernel"], np.full((120, 84), 7.0))


def test_name_is_matched_whole(trained):
    with pytest.raises(UserError, match="init_layers is 'C', and no layer in .* C1, C3, C5"):
        layers_of(trained, "C", shapes("lenet5_modern"))


def test_pattern_that_is_none(trained):
    with pytest.raises(UserError, match="init_layers is '\\(', which is no regular expression"):
        layers_of(trained, "(", shapes("lenet5_modern"))


def test_layer_of_another_shape(trained):
    with pytest.raises(UserError, match="layer 'C3' in .* has .*5, 5, 6, 16.*choose others"):
        layers_of(trained, "C.*", shapes("lenet5"))


def test_layer_that_the_network_does_not_have(trained):
    with pytest.raises(UserError, match="layer 'OUT' in .* no such layer"):
        layers_of(trained, "OUT", shapes("lenet5"))


def test_no_export():
    with pytest.raises(UserError, match="no model in 'nowhere'"):
        layers_of("nowhere", ".*", shapes("lenet5"))


def test_vggs_deeper_networks_have_the_layers_of_a():
    """Section 3.1: the first four convolutions of A and its fully connected layers."""

    def layers(name):
        images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
        return jax.eval_shape(create_model(name).init, jax.random.key(0), images)["params"]

    a, e = layers("vgg_a"), layers("vgg_e")
    for name in ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"):
        shape = jax.tree.map(lambda x: x.shape, a[name])
        assert shape == jax.tree.map(lambda x: x.shape, e[name])
