"""Without PyTorch: names, shapes and errors. The parity tests compare with torchvision itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models.registry import find_variant

# Small last layers, so that little memory is taken.
NAME, CLASSES = "resnet18_v1_5", 3


class Unreadable:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("on a GPU")


def random_variables(name, **options):
    model = fv.create_model(name, **options)
    images = jax.ShapeDtypeStruct((1, *find_variant(name).image_shape), "float32")
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.random(leaf.shape, np.float32), shapes)


@pytest.fixture(scope="module")
def variables():
    return random_variables(NAME, num_classes=CLASSES)


@pytest.fixture
def state_dict(variables):
    return fv.weights.to_torchvision(NAME, variables)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("alexnet_owt", {}, marks=pytest.mark.slow),
        pytest.param("vgg11", {}, marks=pytest.mark.slow),
        pytest.param("vgg13_bn", {}, marks=pytest.mark.slow),
        ("googlenet_torchvision", {"auxiliary_heads": True}),
        pytest.param("googlenet_torchvision", {"auxiliary_heads": False}, marks=pytest.mark.slow),
        ("resnet50_v1_5", {}),
    ],
)
def test_round_trip_is_exact(name, options):
    variables = random_variables(name, num_classes=CLASSES, **options)
    state_dict = fv.weights.to_torchvision(name, variables)
    back = fv.weights.from_torchvision(name, state_dict)
    expected, given = flatten_dict(variables), flatten_dict(back)
    assert expected.keys() == given.keys()
    assert all(np.array_equal(expected[path], given[path]) for path in expected)
    again = fv.weights.to_torchvision(name, back)
    assert again.keys() == state_dict.keys()
    assert all(np.array_equal(again[key], state_dict[key]) for key in again)


def test_layouts(variables, state_dict):
    params = variables["params"]
    kernel = params["conv3_1"]["projection"]["kernel"]
    np.testing.assert_array_equal(
        state_dict["layer2.0.downsample.0.weight"][:, :, 0, 0], kernel[0, 0].T
    )
    np.testing.assert_array_equal(state_dict["fc.weight"], params["fc"]["kernel"].T)
    np.testing.assert_array_equal(
        state_dict["conv1.weight"], params["conv1"]["kernel"].transpose(3, 2, 0, 1)
    )
    statistics = variables["batch_stats"]["conv2_1"]["bn2"]
    np.testing.assert_array_equal(state_dict["layer1.0.bn2.running_var"], statistics["var"])
    assert state_dict["layer1.0.bn2.num_batches_tracked"] == 0


def test_fully_connected_inputs_change_from_chw_to_hwc():
    variables = random_variables("alexnet_owt", num_classes=CLASSES)
    kernel = variables["params"]["fc6"]["kernel"]
    weight = fv.weights.to_torchvision("alexnet_owt", variables)["classifier.1.weight"]
    h, w, c, k = 2, 4, 100, 7
    assert weight[k, c * 36 + h * 6 + w] == kernel[h, w, c, k]


def test_number_of_classes_is_that_of_the_last_layer(state_dict):
    variables = fv.weights.from_torchvision(NAME, state_dict)
    assert variables["params"]["fc"]["kernel"].shape == (512, CLASSES)


@pytest.mark.parametrize("name", ["resnet50", "vgg_c", "alexnet", "vgg_a_lrn", "lenet5"])
@pytest.mark.parametrize("convert", [fv.weights.from_torchvision, fv.weights.to_torchvision])
def test_networks_that_torchvision_does_not_have(convert, name):
    with pytest.raises(UserError, match=f"unknown torchvision model '{name}'.*vgg11"):
        convert(name, {})


@pytest.mark.parametrize("name", ["plain34", "plain20"])
@pytest.mark.parametrize("convert", [fv.weights.from_torchvision, fv.weights.to_torchvision])
def test_torchvision_has_no_plain_networks(convert, name):
    message = f"torchvision has no plain networks.* no weights for '{name}'.*resnet34_v1_5"
    with pytest.raises(UserError, match=message):
        convert(name, {})


def test_differences_list_both_sides(state_dict):
    state_dict["extra"] = np.zeros(2, np.float32)
    state_dict["layer1.0.bn1.bias"] = np.zeros(65, np.float32)
    del state_dict["layer2.0.conv1.weight"], state_dict["fc.bias"]
    message = (
        r"these are not the 102 arrays of resnet18_v1_5, but 101; "
        r"missing: fc\.bias \[3\], layer2\.0\.conv1\.weight \[128, 64, 3, 3\]; "
        r"surplus: extra \[2\]; "
        r"misshapen: layer1\.0\.bn1\.bias \[65\] instead of \[64\]"
    )
    with pytest.raises(UserError, match=message):
        fv.weights.from_torchvision(NAME, state_dict)


@pytest.mark.parametrize("leaf", ["bn1.running_mean", "fc.bias", "conv1.weight", "fc.weight"])
def test_nothing_is_shared_with_the_other_model(leaf, state_dict):
    variables = fv.weights.from_torchvision(NAME, state_dict)
    before = jax.tree.map(np.copy, variables)
    state_dict[leaf] += 1
    jax.tree.map(np.testing.assert_array_equal, variables, before)
    back = fv.weights.to_torchvision(NAME, jax.tree.map(jnp.asarray, variables))
    assert all(array.flags.writeable for array in back.values())


def test_names_with_a_prefix(state_dict):
    wrapped = {f"module.{key}": x for key, x in state_dict.items()}
    with pytest.raises(UserError, match="no name agrees, so look for a prefix such as 'module.'"):
        fv.weights.from_torchvision(NAME, wrapped)


def test_half_precision_becomes_single(state_dict):
    halves = {key: x.astype(np.float16) for key, x in state_dict.items()}
    kernel = fv.weights.from_torchvision(NAME, halves)["params"]["fc"]["kernel"]
    np.testing.assert_array_equal(kernel, np.float32(halves["fc.weight"].T), strict=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "the state dictionary is a NoneType; give a mapping"),
        ({"state_dict": {}}, "state_dict is a dict of object, not an array of floating-point"),
        ({"fc.bias": np.arange(3)}, "fc.bias is a ndarray of int64"),
        ({"fc.bias": Unreadable()}, "fc.bias cannot be read as an array: on a GPU"),
    ],
)
def test_what_is_not_a_state_dictionary(wrong, message):
    with pytest.raises(UserError, match=message):
        fv.weights.from_torchvision(NAME, wrong)


def test_variables_of_another_model(variables):
    with pytest.raises(
        UserError, match=r"missing: batch_stats/conv2_3/bn1/mean \[64\], .* 70 more"
    ):
        fv.weights.to_torchvision("resnet34_v1_5", variables)


@pytest.mark.parametrize("broken", [{}, {"params": 1.0}, {"params": {"fc": {"bias": 0.0}}}])
def test_variables_that_are_none(broken):
    with pytest.raises(UserError, match="missing"):
        fv.weights.to_torchvision(NAME, broken)
