import jax.numpy as jnp
import numpy as np
import pytest

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models.registry import model_options


def test_names_are_sorted_and_filtered():
    assert fv.list_models() == sorted(fv.list_models())
    assert fv.list_models("lenet5*") == ["lenet5", "lenet5_modern"]
    assert fv.list_models("nothing*") == []


def test_unknown_model_offers_the_nearest():
    with pytest.raises(UserError, match=r"unknown model 'lenet-5'; did you mean 'lenet5'\?"):
        fv.create_model("lenet-5")


def test_unknown_option_offers_the_nearest():
    with pytest.raises(UserError, match=r"option of lenet5 'code'; did you mean 'codes'\?"):
        fv.create_model("lenet5", code="random")


def test_unknown_value_lists_the_valid_ones():
    with pytest.raises(UserError, match=r"codes of lenet5 'ascii'.*Valid: digits, random"):
        fv.create_model("lenet5", codes="ascii")


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_flag_must_be_a_bool(value):
    with pytest.raises(UserError, match="trainable_codes of lenet5 is .*True or False"):
        fv.create_model("lenet5", trainable_codes=value)


def test_number_must_be_a_number():
    with pytest.raises(UserError, match="background of lenet5 is 'black'; it must be a number"):
        fv.create_model("lenet5", background="black")


@pytest.mark.parametrize("rate", [1, 1.5, -0.1, float("nan")])
def test_dropout_must_be_a_share(rate):
    with pytest.raises(UserError, match="auxiliary_dropout of googlenet is .*from 0 to below 1"):
        fv.create_model("googlenet", auxiliary_dropout=rate)


def test_fixed_attributes_are_no_options():
    assert "shortcut" in model_options("resnet50")
    for name, fixed in (("resnet50", "depth"), ("vgg16", "configuration"), ("resnet20", "n")):
        with pytest.raises(UserError, match=f"unknown option of {name} '{fixed}'"):
            fv.create_model(name, **{fixed: "C"})


def test_variants_have_defaults_of_their_own():
    assert model_options("googlenet")["auxiliary_heads"] is True
    assert model_options("googlenet_bn")["auxiliary_heads"] is False
    assert fv.create_model("resnet50_v1_5").stem_pool == "torch"
    assert fv.create_model("resnet50_v1_5", stem_pool="caffe").stem_pool == "caffe"
    assert fv.create_model("resnet20").num_classes == 10
    assert fv.create_model("resnet20", num_classes=100).num_classes == 100
    counted = fv.create_model("resnet20", num_classes=np.int64(100))
    assert type(counted.num_classes) is int  # the module must be hashable and serializable


@pytest.mark.parametrize("dtype", ["float64", "int8", "nonsense", 3])
def test_dtype_must_be_one_of_arithmetic(dtype):
    with pytest.raises(UserError, match="unknown dtype of lenet5 .*bfloat16, float16, float32"):
        fv.create_model("lenet5", dtype=dtype)


@pytest.mark.parametrize("classes", [0, -3, 2.5, True, "10"])
def test_number_of_classes_must_be_positive(classes):
    with pytest.raises(UserError, match="num_classes is .*at least 1"):
        fv.create_model("lenet5", num_classes=classes)


GOOGLENET = {
    "auxiliary_heads": True,
    "inception": "reduced",
    "stem": "conv",
    "padding": "same",
    "initialization": "caffe",
    "dropout": 0.4,
    "auxiliary_dropout": 0.7,
}


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        (
            "lenet5",
            {
                "codes": "digits",
                "trainable_codes": False,
                "initialization": "paper",
                "background": -0.1,
            },
        ),
        (
            "alexnet",
            {
                "lrn": "paper",
                "pool": "3/2",
                "initialization": "paper",
                "fully_convolutional": False,
                "dropout": 0.5,
            },
        ),
        ("alexnet_owt", {"initialization": "he", "fully_convolutional": False, "dropout": 0.5}),
        (
            "vgg16",
            {
                "batch_norm": "none",
                "initialization": "glorot",
                "fully_convolutional": False,
                "dropout": 0.5,
            },
        ),
        ("googlenet", GOOGLENET),
        (
            "googlenet_bn",
            {**GOOGLENET, "auxiliary_heads": False, "conv_bias": True, "initialization": "he"},
        ),
        (
            "googlenet_torchvision",
            {
                "auxiliary_heads": True,
                "initialization": "he",
                "dropout": 0.2,
                "auxiliary_dropout": 0.7,
            },
        ),
        ("resnet50", {"shortcut": "B", "stem_pool": "caffe", "initialization": "he"}),
        ("resnet50_v1_5", {"shortcut": "B", "stem_pool": "torch", "initialization": "he"}),
        ("resnet20", {"shortcut": "A", "initialization": "he"}),
        ("resnet_cifar", {"n": 3, "shortcut": "A", "initialization": "he"}),
        ("plain34", {"stem_pool": "caffe", "initialization": "he"}),
        ("plain20", {"initialization": "he"}),
    ],
)
def test_options_have_their_defaults(name, defaults):
    shared = {"remat": False, "dtype": jnp.float32}
    if name.startswith("resnet"):
        shared |= {"stochastic_depth": 0.0, "stochastic_depth_mode": "batch"}
    assert model_options(name) == defaults | shared
