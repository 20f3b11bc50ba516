"""Plain networks, naive inception and 5x5 VGG against PyTorch modules, forward and backward."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import flax_vision as fv

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")

import reference_plain
import reference_vgg
from copying import LEAVES, copy_into, random_variables, relative, tensor
from quick_jit import quick_jit
from torch.nn import functional

pytestmark = pytest.mark.slow
CLASSES = 10
LABELS = np.array([3, 1])


def plain_name(path):
    return ".".join(("pairs", *path) if len(path) > 1 else path)


def vgg_name(path):
    return f"convs.{path[0]}" if path[0].startswith("conv") else path[0]


NO_DROPOUT = {"dropout": 0.0, "auxiliary_dropout": 0.0}
# Our name and options, PyTorch's module, its name of a layer, and the size of the images.
NETWORKS = {
    "plain34": ("plain34", {}, reference_plain.Plain34, plain_name, 97),
    "plain34_torch": (
        *("plain34", {"stem_pool": "torch"}),
        *(lambda classes: reference_plain.Plain34(classes, "torch"), plain_name, 97),
    ),
    "plain20": ("plain20", {}, reference_plain.Plain20, plain_name, 32),
    "naive": (
        *("googlenet", {"inception": "naive", **NO_DROPOUT}),
        *(lambda n: reference_plain.NaiveGoogLeNet(n, "same", 0.0, 0.0), ".".join, 75),
    ),
    "vgg_b_5x5": (
        *("vgg_b_5x5", {"dropout": 0.0}),
        *(lambda n: reference_vgg.VGG("B-5x5", n, dropout=0.0, map_size=2), vgg_name, 64),
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """Our model, its variables, PyTorch's module with the same, a layer's name, and images."""
    name, options, make_reference, layer_name, size = NETWORKS[request.param]
    model = fv.create_model(name, num_classes=CLASSES, **options)
    variables = random_variables(model, (size, size, 3))
    reference = make_reference(CLASSES)
    copy_into(reference, variables, layer_name)
    images = np.random.default_rng(1).standard_normal((2, size, size, 3), np.float32)
    return model, variables, reference, layer_name, images


def outputs_of(reference, images, dtype):
    tensors = torch.from_numpy(images.transpose(0, 3, 1, 2)).to(dtype)
    outputs = reference(tensors)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def test_logits(network):
    model, variables, reference, _, images = network
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))
    logits, state = apply(variables, jnp.asarray(images))
    with torch.inference_mode():
        expected = outputs_of(reference.eval(), images, torch.float32)
    heads = [state["intermediates"][aux][0] for aux in ("aux1", "aux2")[: len(expected) - 1]]
    for actual, reference_logits in zip((logits, *heads), expected, strict=True):
        assert relative(actual, reference_logits.numpy()) < 1e-5


def test_gradients_of_a_step(network):
    """In double precision: rounding could move a value across the corner of a ReLU."""
    model, variables, reference, layer_name, images = network
    reference = copy.deepcopy(reference).double().train()
    outputs = outputs_of(reference, images, torch.float64)
    losses = [functional.cross_entropy(logits, torch.from_numpy(LABELS)) for logits in outputs]
    weights = [1.0, 0.3, 0.3][: len(losses)]
    expected_loss = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
    expected_loss.backward()
    # Flax itself mixes single and double precision.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        doubles = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), variables)
        loss, gradients, logits = train_step(model.clone(dtype=jnp.float64), doubles, images)
    np.testing.assert_allclose(loss, expected_loss.item(), rtol=1e-6)
    assert relative(logits, outputs[0].detach().numpy()) < 1e-5
    parameters = dict(reference.named_parameters())
    scale = max(p.grad.norm().item() for p in parameters.values())
    ours = flatten_dict(gradients)
    assert len(ours) == len(parameters)
    for (*path, leaf), gradient in ours.items():
        grad = parameters[f"{layer_name(tuple(path))}.{LEAVES.get(leaf, leaf)}"].grad
        difference = (tensor(np.array(gradient)).reshape(grad.shape) - grad).norm().item()
        assert difference < 1e-5 * grad.norm().item() + 1e-9 * scale, (path, leaf)


def train_step(model, variables, images):
    """Returns the loss, the gradients and the logits."""

    @quick_jit
    def step(params, rest):
        def objective(params):
            logits, updates = model.apply(
                *({"params": params, **rest}, jnp.asarray(images)),
                **{"train": True, "mutable": ["batch_stats", "intermediates"]},
            )
            sown = updates["intermediates"]
            heads = [0.3 * cross_entropy(sown[aux][0]) for aux in ("aux1", "aux2") if aux in sown]
            return cross_entropy(logits) + sum(heads), logits

        return jax.value_and_grad(objective, has_aux=True)(params)

    rest = dict(variables)
    (loss, logits), gradients = step(rest.pop("params"), rest)
    return loss, gradients, logits


def cross_entropy(logits):
    return -jnp.mean(jax.nn.log_softmax(logits)[np.arange(len(LABELS)), LABELS])
