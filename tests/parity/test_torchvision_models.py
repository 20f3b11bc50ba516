"""Our models against torchvision's own modules, with the same random weights and statistics.

In training mode both normalize with the variance of the batch. PyTorch's running variance has the
factor n / (n - 1), where n is the number of pixels of a channel in the batch. The comparison
takes it out.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flax_vision as fv

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")
pytest.importorskip("torchvision", reason="torchvision is in the extra `parity`")

from copying import random_variables, relative
from quick_jit import quick_jit
from torch.nn import functional
from torchvision import models as theirs

pytestmark = pytest.mark.slow
CLASSES = 10
# Models with fully connected layers before the last one take one size, the others any size.
SIZES = {
    "alexnet_owt": (224,),
    "vgg11": (224,),
    "vgg11_bn": (224,),
    "vgg13": (224,),
    "vgg13_bn": (224,),
    "vgg16": (224,),
    "vgg16_bn": (224,),
    "vgg19": (224,),
    "vgg19_bn": (224,),
    "googlenet_torchvision": (224, 193),
    "resnet18_v1_5": (224, 97),
    "resnet34_v1_5": (224, 97),
    "resnet50_v1_5": (224, 97),
    "resnet101_v1_5": (224, 97),
    "resnet152_v1_5": (224, 97),
}
# The other models have more of the same layers.
TRAINED = (
    *("alexnet_owt", "vgg11", "vgg11_bn"),
    *("googlenet_torchvision", "resnet18_v1_5", "resnet50_v1_5"),
)
OTHER_SIZES = [(name, size) for name, (_, *others) in SIZES.items() for size in others]


def make_torchvision(name, **options):
    """Returns torchvision's module, without its slow initialization."""
    build = name.removesuffix("_owt").removesuffix("_v1_5").removesuffix("_torchvision")
    if build == "googlenet" or build.startswith("vgg"):
        options["init_weights"] = False
    return getattr(theirs, build)(weights=None, num_classes=CLASSES, **options)


def make_pair(name, **options):
    """Returns our model, its variables, and torchvision's module with the same variables."""
    model = fv.create_model(name, num_classes=CLASSES, **options)
    variables = random_variables(model, (224, 224, 3))
    their_options = (
        {"aux_logits": options["auxiliary_heads"]} if "auxiliary_heads" in options else {}
    )
    module = make_torchvision(name, **their_options)
    state_dict = fv.weights.to_torchvision(name, variables)
    module.load_state_dict({key: torch.from_numpy(x) for key, x in state_dict.items()})
    return model, variables, module


def images_of(size, count=2):
    images = np.random.default_rng(1).standard_normal((count, size, size, 3), np.float32)
    return jnp.asarray(images), torch.from_numpy(images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("name", "size"), OTHER_SIZES)
def test_evaluation_in_another_size(name, size):
    """`test_image_files_in_both` compares all models in their first size."""
    model, variables, module = make_pair(name)
    ours, tensors = images_of(size)
    with torch.inference_mode():
        expected = module.eval()(tensors).numpy()
    assert relative(jax.jit(model.apply)(variables, ours), expected) < 1e-5


def test_googlenet_without_heads():
    model, variables, module = make_pair("googlenet_torchvision", auxiliary_heads=False)
    ours, tensors = images_of(224)
    with torch.inference_mode():
        expected = module.eval()(tensors).numpy()
    assert relative(jax.jit(model.apply)(variables, ours), expected) < 1e-5


@pytest.mark.parametrize("name", ["alexnet_owt", "googlenet_torchvision", "resnet18_v1_5"])
def test_weights_that_torchvision_initialized_come_back_bit_for_bit(name):
    state_dict = make_torchvision(name).state_dict()
    back = fv.weights.to_torchvision(name, fv.weights.from_torchvision(name, state_dict))
    assert back.keys() == state_dict.keys()
    for key, array in back.items():
        np.testing.assert_array_equal(array, state_dict[key].numpy(), strict=True)


@pytest.mark.parametrize("name", TRAINED)
def test_training(name):
    """Loss, gradients and running statistics of one batch, without dropout, in double precision.

    In single precision, a rounding error that moves one value across the corner of a ReLU changes
    the gradients.
    """
    model, variables, module = make_pair(name, **without_dropout(name))
    images, tensors = images_of(SIZES[name][-1], len(LABELS))
    before = fv.weights.to_torchvision(name, variables)
    expected = train_theirs(module.double().train(), tensors.double())
    # Flax itself mixes single and double precision.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        doubles = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), variables)
        loss, updated = train_ours(model.clone(dtype=jnp.float64), doubles, images)
        ours = fv.weights.to_torchvision(name, jax.tree.map(np.asarray, updated))
    np.testing.assert_allclose(loss, expected["loss"], rtol=1e-6)
    scale = max(np.linalg.norm(x) for x in expected["gradients"].values())
    for key, gradient in expected["gradients"].items():
        # Biases before a batch normalization have a gradient of zero, except for rounding.
        assert np.linalg.norm(ours[key] - gradient) < 1e-5 * np.linalg.norm(gradient) + 1e-9 * scale
    for key, pixels in expected["pixels"].items():
        mean, var = (f"{key}.running_{statistic}" for statistic in ("mean", "var"))
        np.testing.assert_allclose(ours[mean], expected["buffers"][mean], rtol=1e-6, atol=1e-9)
        added = expected["buffers"][var] - 0.9 * before[var]
        biased = 0.9 * before[var] + added * (pixels - 1) / pixels
        np.testing.assert_allclose(ours[var], biased, rtol=1e-6)


LABELS = np.array([3, 1])


def without_dropout(name):
    if "resnet" in name:
        return {}
    return {"dropout": 0.0} | ({"auxiliary_dropout": 0.0} if "googlenet" in name else {})


def train_ours(model, variables, images):
    """Returns the loss, and the gradients with the updated running statistics."""

    @quick_jit
    def step(params, rest):
        def objective(params):
            collections = ["batch_stats", "intermediates"]
            logits, updates = model.apply(
                {"params": params, **rest}, images, train=True, mutable=collections
            )
            sown = updates.pop("intermediates")
            heads = [0.3 * cross_entropy(sown[aux][0]) for aux in ("aux1", "aux2") if aux in sown]
            return cross_entropy(logits) + sum(heads), updates

        return jax.value_and_grad(objective, has_aux=True)(params)

    rest = dict(variables)
    (loss, updates), gradients = step(rest.pop("params"), rest)
    return loss, {"params": gradients, **updates}


def cross_entropy(logits):
    return -jnp.mean(jax.nn.log_softmax(logits)[np.arange(len(LABELS)), LABELS])


def train_theirs(module, tensors):
    """Returns the loss, the gradients, the buffers, and the number of pixels of each statistic."""
    pixels = {}
    for key, layer in module.named_modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
        if isinstance(layer, torch.nn.BatchNorm2d):
            count = lambda _, inputs, __, key=key: pixels.update({key: inputs[0][:, 0].numel()})  # noqa: E731
            layer.register_forward_hook(count)
    outputs = module(tensors)
    labels = torch.from_numpy(LABELS)
    logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = functional.cross_entropy(logits, labels)
    loss = loss + sum(0.3 * functional.cross_entropy(head, labels) for head in heads)
    loss.backward()
    return {
        "loss": loss.item(),
        "gradients": {key: x.grad.numpy() for key, x in module.named_parameters()},
        "buffers": {key: x.numpy() for key, x in module.named_buffers()},
        "pixels": pixels,
    }
