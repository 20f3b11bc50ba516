"""Our models against PyTorch modules that were written from the papers alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flax_vision as fv
from flax_vision.models.registry import find_variant

torch = pytest.importorskip("torch", reason="PyTorch is in the extra `parity`")

import reference_alexnet
import reference_alexnet_others
import reference_googlenet
import reference_resnet
import reference_vgg
from copying import copy_into, random_variables, relative

pytestmark = pytest.mark.slow


def compare(name, reference, layer_name, size=224, classes=10, init_size=None, **options):
    """Compares the logits, and auxiliary logits, of two images."""
    model = fv.create_model(name, num_classes=classes, **options)
    sides = (init_size,) * 2 if init_size else find_variant(name).image_shape[:2]
    variables = random_variables(model, (*sides, 3))
    copy_into(reference, variables, layer_name)
    images = np.random.default_rng(1).standard_normal((2, size, size, 3), np.float32)
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))
    logits, state = apply(variables, jnp.asarray(images))
    with torch.inference_mode():
        expected = reference.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2)))
    expected = expected if isinstance(expected, tuple) else (expected,)
    heads = [state["intermediates"][aux][0] for aux in ("aux1", "aux2")[: len(expected) - 1]]
    for actual, reference_logits in zip((logits, *heads), expected, strict=True):
        assert relative(actual, reference_logits.numpy()) < 1e-5


def dotted(path):
    return ".".join(path)


@pytest.mark.parametrize("lrn", ["paper", "paper_whole_layer", "2012code", "caffe"])
def test_alexnet(lrn):
    compare("alexnet", reference_alexnet.AlexNet(10, lrn), "_".join, lrn=lrn)


def test_alexnet_without_normalization_and_overlap():
    reference = reference_alexnet.AlexNet(10, "none", pool=2)
    compare("alexnet", reference, "_".join, lrn="none", pool="2/2")


@pytest.mark.parametrize(
    ("name", "kernels"),
    [("alexnet_half", (48, 128, 192, 192, 256)), ("alexnet_one_column", (96, 256, 384, 384, 256))],
)
def test_alexnet_in_one_column(name, kernels):
    compare(name, reference_alexnet_others.OneColumn(10, kernels), dotted)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("size", [32, 28])
def test_alexnet_of_figure_1(activation, size):
    reference = reference_alexnet_others.Cifar(activation, size)
    compare("alexnet_cifar", reference, dotted, size, init_size=size, activation=activation)


def vgg_name(path):
    (layer,) = path
    if layer.startswith("conv"):
        return f"convs.{layer}"
    if layer.startswith("bn"):
        number = layer.removeprefix("bn")
        return f"norms.{'conv' if '_' in number else 'block'}{number}"
    return layer


@pytest.mark.parametrize(
    ("name", "configuration"), [("vgg_c", "C"), ("vgg_a_lrn", "A-LRN"), ("vgg_a", "A")]
)
def test_vgg(name, configuration):
    compare(name, reference_vgg.VGG(configuration, 10), vgg_name)


@pytest.mark.parametrize("batch_norm", ["layer", "block"])
def test_vgg_with_batch_normalization(batch_norm):
    reference = reference_vgg.VGG("D", 10, batch_norm)
    compare("vgg_d", reference, vgg_name, batch_norm=batch_norm)


@pytest.mark.parametrize("padding", ["same", "caffe", "symmetric"])
@pytest.mark.parametrize("stem", ["conv", "separable"])
def test_googlenet(padding, stem):
    def name(path):
        return "conv1_pointwise" if path == ("conv1",) and stem == "separable" else dotted(path)

    reference = reference_googlenet.GoogLeNet(10, stem, padding=padding)
    compare("googlenet", reference, name, stem=stem, padding=padding)


@pytest.mark.parametrize(
    ("padding", "size"), [("same", 97), ("caffe", 97), ("symmetric", 97), ("same", 224)]
)
def test_googlenet_with_batch_normalization(padding, size):
    def name(path):
        layer = dotted(path)
        if layer == "linear":
            return layer
        return f"{layer.removesuffix('_bn')}.{'bn' if layer.endswith('_bn') else 'conv'}"

    reference = reference_googlenet.GoogLeNetBN(10, padding=padding)
    compare("googlenet_bn", reference, name, size, padding=padding)


def resnet_name(path):
    return dotted(("blocks", *path) if len(path) > 1 else path)


@pytest.mark.parametrize(
    ("name", "size", "blocks", "bottleneck", "shortcut"),
    [
        *(("resnet18", 224, [2, 2, 2, 2], False, shortcut) for shortcut in "ABC"),
        ("resnet34", 97, [3, 4, 6, 3], False, "A"),
        *(("resnet50", 97, [3, 4, 6, 3], True, shortcut) for shortcut in "ABC"),
    ],
)
def test_resnet(name, size, blocks, bottleneck, shortcut):
    reference = reference_resnet.ResNet(blocks, bottleneck, 10, shortcut)
    compare(name, reference, resnet_name, size, shortcut=shortcut)


@pytest.mark.parametrize("size", [224, 97])
@pytest.mark.parametrize("stem_pool", ["caffe", "torch"])
def test_stem_pool(stem_pool, size):
    reference = reference_resnet.ResNet([3, 4, 6, 3], True, 10, "B", stem_pool)
    compare("resnet50", reference, resnet_name, size, stem_pool=stem_pool)


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("size", [32, 27])
def test_cifar_resnet(size, shortcut):
    compare(
        "resnet20",
        reference_resnet.CifarResNet(3, 10, shortcut),
        resnet_name,
        size,
        shortcut=shortcut,
    )
