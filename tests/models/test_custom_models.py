"""Custom models, which users register."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models import catalog
from flax_vision.models.registry import find_variant, model_options, registered_by
from flax_vision.models.summary import summarize, totals

pytestmark = pytest.mark.usefixtures("temporary_names")


class Net(nn.Module):
    num_classes: int = 10
    width: int = 4
    sizes: tuple[int, ...] = (3, 3)
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: object = jnp.float32

    @nn.compact
    def __call__(self, images, *, train=False):
        scale = self.param("scale", nn.initializers.ones, (2,))
        x = nn.Conv(self.width, self.sizes, strides=2, dtype=self.dtype)(images)
        x = self.activation(x).mean((1, 2)) * scale.sum()
        return nn.Dense(self.num_classes)(nn.Dropout(0.5)(x, deterministic=not train))


def make_net(num_classes=5, width=8, norm=None):
    return Net(num_classes, width)


def test_registered_model_is_created_and_listed():
    fv.register_model("net", Net, image_shape=(8, 8, 1), width=6)
    assert "net" in fv.list_models()
    assert fv.create_model("net") == Net(width=6)
    assert fv.create_model("net", num_classes=3, width=2, sizes=(5, 5)) == Net(3, 2, (5, 5))
    assert find_variant("net").image_shape == (8, 8, 1)
    assert registered_by("net") == __name__
    assert registered_by("lenet5") == registered_by("nothing") == ""


def test_options_are_values_that_a_configuration_can_have():
    fv.register_model("net", Net, image_shape=(8, 8, 1), width=6)
    assert model_options("net") == {"width": 6, "sizes": (3, 3), "dtype": jnp.float32}
    with pytest.raises(UserError, match="unknown option of net 'widht'; did you mean 'width'"):
        fv.create_model("net", widht=3)
    with pytest.raises(UserError, match="unknown dtype of net 'float64'"):
        fv.create_model("net", dtype="float64")


@pytest.mark.parametrize("factory", [make_net, functools.partial(make_net, width=8)])
def test_function_that_returns_a_module(factory):
    fv.register_model("net", factory, image_shape=(8, 8, 1))
    assert model_options("net") == {"width": 8}
    assert fv.create_model("net") == Net(5, 8)
    assert fv.create_model("net", num_classes=2, width=3) == Net(2, 3)


def test_catalog_counts_parameters_and_multiply_adds():
    fv.register_model("net", Net, image_shape=(8, 8, 1), width=6)
    (entry,) = catalog.find("net").values()
    shapes = jax.eval_shape(Net(width=6).init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    assert entry.parameters == sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert entry.multiply_adds == 4 * 4 * 9 * 6 + 6 * 10
    assert entry.paper == catalog.Paper(None, f"(registered by {__name__})")
    assert list(catalog.find())[-1] == "net"


def test_summary_has_windows_of_flax_and_own_parameters():
    rows = summarize(Net(), (8, 8, 1))
    assert [(row.layer, row.kernels) for row in rows] == [
        ("scale", ()),
        ("conv", ("3x3/2 4",)),
        ("dropout", ("50%",)),
        ("dense", ("10",)),
    ]
    assert totals(rows)[0].parameters == 2 + 4 * 9 + 4 + 4 * 10 + 10


class WithoutClasses(nn.Module):
    @nn.compact
    def __call__(self, images, *, train=False):
        return images


class WithoutDefault(nn.Module):
    num_classes: int

    def __call__(self, images, *, train=False):
        return images


class WithoutTrain(Net):
    def __call__(self, images):
        return images


class TrainsByDefault(Net):
    def __call__(self, images, train=True):
        return images


class RequiresTrain(Net):
    def __call__(self, images, train):
        return images


class WithoutCall(nn.Module):
    num_classes: int = 10


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (WithoutClasses, "WithoutClasses, .* has no attribute num_classes; add it"),
        (WithoutDefault, "cannot be created: .*'num_classes'.*such as num_classes=10"),
        (
            WithoutTrain,
            r"has the call signature \(images\); write def __call__\(self, images, \*, t",
        ),
        (TrainsByDefault, r"has the call signature \(images, train=True\); write"),
        (RequiresTrain, r"has the call signature \(images, train\); write"),
        (WithoutCall, "WithoutCall, the module of 'net', has no __call__; write"),
        (lambda num_classes=3: Net(), "ignores num_classes; pass it to the module"),
        (lambda: 3, "returns a int; it must return a flax.linen.Module"),
        (Net(), r"is Net\(.*give a linen Module class, or a function"),
        ("Net", "is 'Net'; give a linen Module class"),
    ],
)
def test_modules_with_another_interface(module, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        fv.register_model("net", module, image_shape=(8, 8, 1))
    assert "net" not in fv.list_models()


def test_module_without_a_default_gets_it_from_the_registration():
    fv.register_model("net", WithoutDefault, image_shape=(8, 8, 1), num_classes=4)
    assert fv.create_model("net") == WithoutDefault(4)
    assert model_options("net") == {}


def test_names_that_exist_or_are_not_valid():
    with pytest.raises(UserError, match="a model 'lenet5' exists already; give another name"):
        fv.register_model("lenet5", Net, image_shape=(8, 8, 1))
    fv.register_model("net", Net, image_shape=(8, 8, 1))
    with pytest.raises(UserError, match=f"'net' exists already, registered by {__name__!r}"):
        fv.register_model("net", Net, image_shape=(8, 8, 1))
    with pytest.raises(UserError, match="the model's name is 'my net'"):
        fv.register_model("my net", Net, image_shape=(8, 8, 1))
    with pytest.raises(UserError, match="cannot be created: .*'depth'"):
        fv.register_model("other", Net, image_shape=(8, 8, 1), depth=3)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 0), "8x8", (8.0, 8, 1), np.zeros(3)])
def test_shape_must_be_three_sizes(shape):
    with pytest.raises(UserError, match="image_shape of 'net' is .*such as"):
        fv.register_model("net", Net, image_shape=shape)
