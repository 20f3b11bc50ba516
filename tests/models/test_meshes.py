"""AlexNet's training on meshes of four emulated devices against that on one."""

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
# So small that ten steps do not carry the sums that are rounded in another order over the edge of a
# ReLU or of a maximum, from where on two runs differ by more than by rounding.
RATE = 1e-3


@pytest.fixture(scope="module", autouse=True)
def fewer_units():
    """The columns are what is tested, not their width."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alexnet, "FC_UNITS", 128)
        yield


@pytest.fixture(scope="module")
def params():
    return lively_variables(network(), images_and_labels(0)[0])["params"]


@pytest.fixture(scope="module")
def expected(params):
    """On one device."""
    return train(network(), params, make_mesh(data=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "axes", [{"column": 2}, {"data": 2}, {"data": 2, "column": 2}], ids=["column", "data", "both"]
)
def test_logits_gradients_and_ten_steps_with_dropout_are_those_of_one_device(
    axes, params, expected
):
    mesh = make_mesh(**{"data": 1} | axes)
    actual = train(network(mesh=mesh), params, mesh)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, one), other in zip(
        jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    ):
        largest = np.abs(other).max()
        assert largest > 0, path
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * largest, err_msg=str(path))


def network(**options):
    return fv.create_model("alexnet", num_classes=CLASSES, **options)


def train(model, params, mesh):
    """Returns the state after each step with the logits and gradients of that step."""
    optimizer = optax.sgd(RATE, momentum=0.9)
    state = {"params": params, "optimizer": optimizer.init(params)}
    places = parameter_shardings(state, mesh, alexnet.AlexNet.column_layers)
    shares = NamedSharding(mesh, PartitionSpec("data"))

    def step(state, images, labels, key):
        def loss(params):
            logits = model.apply({"params": params}, images, train=True, rngs={"dropout": key})
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), logits

        gradients, logits = jax.grad(loss, has_aux=True)(state["params"])
        updates, optimizer_state = optimizer.update(gradients, state["optimizer"])
        params = optax.apply_updates(state["params"], updates)
        return {"params": params, "optimizer": optimizer_state}, (logits, gradients)

    state, found = jax.device_put(state, places), []
    with jax.set_mesh(mesh):
        compiled = jax.jit(step, out_shardings=(places, None))
        for i in range(STEPS):
            batch = jax.device_put(images_and_labels(i), shares)
            state, of_step = compiled(state, *batch, jax.random.key(i))
            found.append(jax.device_get((state, of_step)))
    return found


def images_and_labels(seed):
    random = np.random.default_rng(seed)
    images = random.standard_normal((BATCH, SIZE, SIZE, 3), np.float32)
    return images, random.integers(0, CLASSES, BATCH, np.int32)
