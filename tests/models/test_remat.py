"""Recomputation in the backward pass: the same results in less memory."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from abstract import lively_variables, quick_key

import flax_vision as fv
from flax_vision.models import alexnet
from flax_vision.models.registry import find_variant
from flax_vision.runtime import xla_flags
from flax_vision.runtime.mesh import make_mesh, parameter_shardings

_, _, EXPANDER = xla_flags.BARRIERS.partition("=")
CLASSES = 10

SIZES = {"lenet5_modern": 28, "resnet20": 8}
SLOW_SIZES = {
    "lenet5": 28,
    "alexnet": 67,
    "alexnet_owt": 63,
    "alexnet_half": 67,
    "vgg11_bn": 32,
    "googlenet": 79,
    "resnet50": 32,
}
MODELS = [
    *SIZES.items(),
    *(pytest.param(*item, marks=pytest.mark.slow) for item in SLOW_SIZES.items()),
]


@pytest.fixture(scope="module", autouse=True)
def fewer_units():
    """Narrows fully connected layers, whose width does not matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alexnet, "FC_UNITS", 128)
        patch.setattr("flax_vision.models.alexnet_one_column.FC_UNITS", 128)
        patch.setattr("flax_vision.models.vgg.FC_UNITS", 128)
        yield


def make_model(name, **options):
    """Returns a model of ten classes; resnet20 with one block in each stage."""
    model = fv.create_model(name, num_classes=CLASSES, **options)
    return model.clone(n=1) if name == "resnet20" else model


def training_images(name, size, batch=4):
    channels = find_variant(name).image_shape[2]
    random = np.random.default_rng(0)
    return random.standard_normal((batch, size, size, channels), np.float32)


def make_gradient(model):
    """Returns a function of variables and images: gradients, logits and updated collections."""

    def loss(params, rest, images):
        logits, updates = model.apply(
            {"params": params, **rest},
            images,
            train=True,
            rngs={"dropout": quick_key(1)},
            mutable=["batch_stats", "intermediates"],
        )
        labels = jnp.arange(len(images)) % CLASSES
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), (logits, updates)

    def gradient(variables, images):
        rest = {name: tree for name, tree in variables.items() if name != "params"}
        return jax.grad(loss, has_aux=True)(variables["params"], rest, images)

    return gradient


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), MODELS)
def test_gradients_logits_and_collections_are_the_same(name, size):
    plain, remat = (make_model(name, remat=enabled) for enabled in (False, True))
    images = training_images(name, size)
    variables = lively_variables(plain, images)
    chex.assert_trees_all_equal_shapes(variables, jax.eval_shape(remat.init, quick_key(), images))
    expected = jax.jit(make_gradient(plain))(variables, images)
    actual = jax.jit(make_gradient(remat))(variables, images)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, one), other in zip(
        jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    ):
        tolerance = 1e-6 * np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance, err_msg=str(path))


@pytest.mark.parametrize(("name", "size"), MODELS)
def test_backward_pass_computes_convolutions_again(name, size):
    def count(**options):
        model = make_model(name, **options)
        images = training_images(name, size)
        variables = jax.eval_shape(model.init, quick_key(), images)
        text = str(jax.make_jaxpr(make_gradient(model))(variables, images))
        return text.count("remat")

    assert count() == 0
    assert count(remat=True) >= 2


@pytest.mark.skipif(
    not xla_flags.accepted([xla_flags.BARRIERS]), reason="this jaxlib drops barriers"
)
@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "share"), [("resnet32", 16, 0.7)])
def test_memory_of_a_step_falls(name, size, share):
    def temporary_bytes(**options):
        model = make_model(name, **options)
        images = training_images(name, size, batch=16)
        variables = jax.eval_shape(model.init, quick_key(), images)
        lowered = jax.jit(make_gradient(model)).lower(variables, images)
        compiled = lowered.compile({"xla_disable_hlo_passes": EXPANDER})
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary_bytes(remat=True) < share * temporary_bytes()


def test_evaluation_is_the_same_program():
    images = training_images("resnet20", 8)

    def program(**options):
        model = fv.create_model("resnet20", **options)
        variables = jax.eval_shape(model.init, quick_key(), images)
        return jax.jit(model.apply).lower(variables, images).as_text()

    assert program(remat=True) == program()


@pytest.mark.slow
def test_columns_on_their_own_devices_recompute_too():
    mesh = make_mesh(data=1, column=2)
    images = training_images("alexnet", 67)

    def run(mesh, **options):
        model = fv.create_model("alexnet", num_classes=CLASSES, mesh=mesh, **options)
        variables = lively_variables(model, images)
        shardings = parameter_shardings(variables, mesh, alexnet.AlexNet.column_layers)
        with jax.set_mesh(mesh):
            variables = jax.device_put(variables, shardings)
            return jax.device_get(jax.jit(make_gradient(model))(variables, images)[0])

    expected = run(make_mesh(data=1))
    chex.assert_trees_all_close(run(mesh, remat=True), expected, atol=1e-6, rtol=1e-4)
