"""AlexNet's columns on two emulated devices, against the loop on one device."""

import re

import jax
import numpy as np
import pytest
from abstract import abstract_variables, lively_variables
from jax.sharding import AxisType

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models.alexnet import AlexNet
from flax_vision.runtime.mesh import make_mesh, parameter_shardings

EXCHANGES = {
    "all-gather": ["conv3", "fc6", "fc7", "fc8"],
    "reduce-scatter": ["fc7", "fc6", "conv3"],
}


@pytest.fixture(scope="module")
def case():
    """A model, its parameters, and images."""
    model = fv.create_model("alexnet", num_classes=3)
    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3), np.float32)
    return model, lively_variables(model, images), images


def gradient_step(model, images):
    def loss(variables):
        logits, updates = model.apply(
            variables,
            images,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=["intermediates"],
        )
        return (logits**2).sum(), (logits, updates)

    return jax.jit(jax.grad(loss, has_aux=True))


@pytest.fixture(scope="module")
def split(case):
    """The step compiled for one device per column, and the parameters there."""
    model, variables, images = case
    mesh = make_mesh(data=1, column=2)
    sharded = jax.device_put(variables, parameter_shardings(variables, mesh, AlexNet.column_layers))
    step = gradient_step(model.clone(mesh=mesh), images).lower(sharded).compile()
    return step, sharded


def assert_close(actual, expected):
    """Compares trees of arrays within 1e-5 of each array's largest value."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * abs(np.asarray(other)).max())


@pytest.mark.slow
def test_gradients_logits_and_intermediates_with_dropout(case, split):
    model, variables, images = case
    step, sharded = split
    expected, actual = gradient_step(model, images)(variables), step(sharded)
    assert_close(actual, expected)


def test_devices_exchange_before_conv3_fc6_fc7_and_fc8_only(split):
    found = {}
    for line in split[0].as_text().splitlines():
        kind = re.search(
            r" (all-\w+|reduce-scatter|collective-\w+|ragged-all-to-all)(-start)?\(", line
        )
        if kind:
            found.setdefault(kind[1], []).append(re.search(r'op_name="([^"]*)"', line)[1])
    assert {kind: len(names) for kind, names in found.items()} == {
        kind: len(layers) for kind, layers in EXCHANGES.items()
    }
    for kind, layers in EXCHANGES.items():
        for layer in layers:
            assert any(layer in name for name in found[kind])
    assert not re.search(r"(feature|batch)_group_count=(?!1\b)", split[0].as_text())


def test_each_device_has_half_of_the_column_parameters(split):
    params = split[1]["params"]
    for layer in params:
        share = 2 if layer in AlexNet.column_layers else 1
        for array in params[layer].values():
            assert [shard.data.nbytes * share for shard in array.addressable_shards] == (
                [array.nbytes] * 2
            )


def test_column_layers_are_those_with_two_kernels():
    params = abstract_variables("alexnet")["params"]
    assert {name for name in params if params[name]["bias"].ndim == 2} == set(AlexNet.column_layers)


def mesh_of(*axes):
    return jax.make_mesh((1,) * len(axes), axes, axis_types=(AxisType.Auto,) * len(axes))


def test_a_mesh_without_columns():
    with pytest.raises(ValueError, match="the mesh of data 1 has no axis 'column'; it must be 2"):
        fv.create_model("alexnet", mesh=mesh_of("data"))


def test_three_columns():
    mesh = jax.sharding.Mesh(np.array([jax.devices()[0]] * 3), ("column",))
    with pytest.raises(ValueError, match="axis 'column' of 3; it must be 2"):
        fv.create_model("alexnet", mesh=mesh)


@pytest.mark.parametrize("lrn", ["caffe", "paper_whole_layer"])
def test_sums_over_both_columns(lrn):
    with pytest.raises(ValueError, match=f"lrn is '{lrn}'.*choose one of paper, 2012code"):
        fv.create_model("alexnet", lrn=lrn, mesh=make_mesh(data=1, column=2))


def test_a_model_without_columns():
    with pytest.raises(UserError, match="axis 'column' is 2, and vgg16 has no columns.*: alexnet"):
        fv.create_model("vgg16", mesh=make_mesh(data=1, column=2))
    assert fv.create_model("vgg16", mesh=make_mesh(data=2)) == fv.create_model("vgg16")


def test_mesh_must_be_a_mesh():
    with pytest.raises(UserError, match="mesh of alexnet is 'column=2'; give one such as"):
        fv.create_model("alexnet", mesh="column=2")


def test_a_batch_that_cannot_be_divided():
    mesh = jax.sharding.AbstractMesh((2, 2), ("data", "column"))
    images = jax.ShapeDtypeStruct((3, 64, 64, 3), "float32")
    model = AlexNet(mesh=mesh)
    with pytest.raises(ValueError, match="a batch of 3 images cannot be divided"):
        jax.eval_shape(model.apply, abstract_variables("alexnet", size=64), images)
