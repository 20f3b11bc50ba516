"""Training of every family with arithmetic in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from abstract import lively_variables, quick_key

import flax_vision as fv
from flax_vision.models import alexnet, vgg
from flax_vision.models.googlenet import auxiliary_logits
from flax_vision.models.registry import find_variant

SIZES = {
    **{"lenet5": 28, "lenet5_modern": 28, "alexnet": 67, "alexnet_owt": 63, "vgg11_bn": 32},
    **{"vgg_a_lrn": 32, "googlenet": 79, "resnet20": 8, "resnet50": 32},
}
QUICK = ("lenet5", "lenet5_modern", "resnet20")
MODELS = [
    pytest.param(name, size, marks=[] if name in QUICK else pytest.mark.slow)
    for name, size in SIZES.items()
]
RATES = {"alexnet_owt": 1e-4}


@pytest.fixture(scope="module", autouse=True)
def fewer_units():
    """Narrows fully connected layers, whose width does not matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alexnet, "FC_UNITS", 128)
        patch.setattr(vgg, "FC_UNITS", 128)
        yield


def make_step(model, images, rate):
    """Returns a function that takes variables to the next ones and the loss."""
    labels = jnp.arange(len(images))

    def loss_fn(params, rest):
        logits, updates = model.apply(
            {"params": params, **rest},
            images,
            train=True,
            rngs={"dropout": quick_key(1)},
            mutable=["batch_stats", "intermediates"],
        )
        heads = [logits, *auxiliary_logits(updates.pop("intermediates"))]
        assert {x.dtype for x in heads} == {jnp.dtype("float32")}
        losses = [optax.softmax_cross_entropy_with_integer_labels(x, labels) for x in heads]
        return jnp.stack(losses).mean(), updates

    def step(variables):
        rest = {name: tree for name, tree in variables.items() if name != "params"}
        params = variables["params"]
        (loss, rest), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, rest)
        params = jax.tree.map(lambda w, g: w - rate * g, params, grads)
        return {"params": params, **rest}, loss

    return step


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), MODELS)
def test_two_steps_lower_the_loss_and_keep_float32_parameters(name, size):
    model = fv.create_model(name, num_classes=10, dtype="bfloat16")
    if name == "resnet20":
        model = model.clone(n=1)
    channels = find_variant(name).image_shape[2]
    random = np.random.default_rng(0)
    images = random.standard_normal((4, size, size, channels), np.float32)
    variables, losses = lively_variables(model, images), []
    step = jax.jit(make_step(model, images, RATES.get(name, 1e-3)))
    for _ in range(3):
        variables, loss = step(variables)
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True)
    assert losses[2] < losses[0]
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
