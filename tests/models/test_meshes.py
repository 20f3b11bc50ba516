"""AlexNet's training on meshes of four emulated devices, against one device."""

import jax
import numpy as np
import optax
import pytest
from abstract import lively_variables
from jax.sharding import NamedSharding, PartitionSpec

import flax_vision as fv
from flax_vision.models import alexnet
from flax_vision.runtime.mesh import make_mesh, parameter_shardings

STEPS, BATCH, SIZE, CLASSES = 10, 4, 67, 5
# A small rate: otherwise ten steps carry sums that round differently over the edge of a ReLU or a
# maximum, and from there on two runs differ by more than rounding.
RATE = 1e-3


@pytest.fixture(scope="module", autouse=True)
def fewer_units():
    """Narrows the columns, whose width does not matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alexnet, "FC_UNITS", 128)
        yield


@pytest.fixture(scope="module")
def params():
    return lively_variables(make_model(), images_and_labels(0)[0])["params"]


@pytest.fixture(scope="module")
def expected(params):
    """The states on one device."""
    return train(make_model(), params, make_mesh(data=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "axes", [{"column": 2}, {"data": 2}, {"data": 2, "column": 2}], ids=["column", "data", "both"]
)
def test_logits_gradients_and_ten_steps_with_dropout_are_those_of_one_device(
    axes, params, expected
):
    mesh = make_mesh(**{"data": 1} | axes)
    actual = train(make_model(mesh=mesh), params, mesh)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, one), other in zip(
        jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    ):
        largest = np.abs(other).max()
        assert largest > 0, path
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * largest, err_msg=str(path))


def make_model(**options):
    return fv.create_model("alexnet", num_classes=CLASSES, **options)


def train(model, params, mesh):
    """Returns the state, logits and gradients of each step."""
    optimizer = optax.sgd(RATE, momentum=0.9)
    state = {"params": params, "optimizer": optimizer.init(params)}
    shardings = parameter_shardings(state, mesh, alexnet.AlexNet.column_layers)
    batch_sharding = NamedSharding(mesh, PartitionSpec("data"))

    def step(state, images, labels, key):
        def loss(params):
            logits = model.apply({"params": params}, images, train=True, rngs={"dropout": key})
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), logits

        gradients, logits = jax.grad(loss, has_aux=True)(state["params"])
        updates, optimizer_state = optimizer.update(gradients, state["optimizer"])
        params = optax.apply_updates(state["params"], updates)
        return {"params": params, "optimizer": optimizer_state}, (logits, gradients)

    state, results = jax.device_put(state, shardings), []
    with jax.set_mesh(mesh):
        compiled = jax.jit(step, out_shardings=(shardings, None))
        for i in range(STEPS):
            batch = jax.device_put(images_and_labels(i), batch_sharding)
            state, outputs = compiled(state, *batch, jax.random.key(i))
            results.append(jax.device_get((state, outputs)))
    return results


def images_and_labels(seed):
    random = np.random.default_rng(seed)
    images = random.standard_normal((BATCH, SIZE, SIZE, 3), np.float32)
    return images, random.integers(0, CLASSES, BATCH, np.int32)
