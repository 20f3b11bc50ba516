"""Maps layers to the modules of torchvision that hold their parameters."""

from collections.abc import Callable, Iterator
from functools import partial

from flax_vision.errors import UserError, unknown
from flax_vision.models import resnet, vgg
from flax_vision.models.registry import find_variant, list_models

_VGG_DEPTHS = {"A": 11, "B": 13, "D": 16, "E": 19}
"""Depth of torchvision's VGG by the configuration in the paper's table 1."""

_Pairs = Iterator[tuple[str, str]]
"""Dotted paths of our layers and of torchvision's modules."""


def torchvision_modules(name: str) -> dict[str, str]:
    """Returns torchvision's module for each of our layers, as dotted paths, the last layer last.

    The mapping includes layers that some variants of the model lack.

    Args:
      name: Name of our model.

    Raises:
      UserError: torchvision does not have the model.
    """
    models = _models()
    if _is_plain(name):
        residual = ", ".join(model for model in models if model.startswith("resnet"))
        raise UserError(
            f"torchvision has no plain networks, so it has no weights for {name!r}. Its residual "
            f"networks are {residual}."
        )
    if name not in models:
        raise unknown("torchvision model", name, models)
    return dict(models[name]())


def torchvision_name(name: str) -> str:
    """Returns the name of the torchvision function that creates the model.

    Raises:
      UserError: torchvision does not have the model.
    """
    torchvision_modules(name)
    fixed = find_variant(name).fixed
    if "configuration" in fixed:
        depth = _VGG_DEPTHS[fixed["configuration"]]
        return f"vgg{depth}_bn" if "batch_norm" in fixed else f"vgg{depth}"
    return name.removesuffix("_owt").removesuffix("_torchvision").removesuffix("_v1_5")


def _is_plain(name: str) -> bool:
    """Returns whether the name is a network without shortcuts."""
    return name in list_models() and find_variant(name).fixed.get("shortcut") == "none"


def _models() -> dict[str, Callable[[], _Pairs]]:
    models = {"alexnet_owt": _alexnet, "googlenet_torchvision": _googlenet}
    for name in list_models():
        fixed = find_variant(name).fixed
        if fixed.get("stride_in") == "3x3":
            models[name] = partial(_resnet, fixed["depth"])
        if fixed.get("configuration") in _VGG_DEPTHS:
            models[name] = partial(_vgg, fixed["configuration"], "batch_norm" in fixed)
    return models


def _alexnet() -> _Pairs:
    for i, index in enumerate((0, 3, 6, 8, 10), 1):
        yield f"conv{i}", f"features.{index}"
    for i, index in enumerate((1, 4, 6), 6):
        yield f"fc{i}", f"classifier.{index}"


def _vgg(configuration: str, batch_norm: bool) -> _Pairs:
    index = 0
    for block, layers in enumerate(vgg.TABLE_1[configuration], 1):
        for i, _ in enumerate(layers.split(), 1):
            yield f"conv{block}_{i}", f"features.{index}"
            yield f"bn{block}_{i}", f"features.{index + 1}"
            index += 3 if batch_norm else 2  # convolution, batch normalization, ReLU
        index += 1  # max pooling
    for i, index in enumerate((0, 3, 6), 6):
        yield f"fc{i}", f"classifier.{index}"


def _googlenet() -> _Pairs:
    for ours, theirs in {"conv1": "conv1", "conv2_reduce": "conv2", "conv2": "conv3"}.items():
        yield from _conv_bn(ours, theirs)
    branches = {
        "conv1x1": "branch1",
        "conv3x3_reduce": "branch2.0",
        "conv3x3": "branch2.1",
        "conv5x5_reduce": "branch3.0",
        "conv5x5": "branch3.1",
        "pool_projection": "branch4.1",
    }
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        for ours, theirs in branches.items():
            yield from _conv_bn(f"inception_{module}.{ours}", f"inception{module}.{theirs}")
    for ours, theirs in {"auxiliary_4a": "aux1", "auxiliary_4d": "aux2"}.items():
        yield from _conv_bn(f"{ours}.conv", f"{theirs}.conv")
        yield f"{ours}.fc", f"{theirs}.fc1"
        yield f"{ours}.linear", f"{theirs}.fc2"
    yield "linear", "fc"


def _conv_bn(ours: str, theirs: str) -> _Pairs:
    yield ours, f"{theirs}.conv"
    yield f"{ours}_bn", f"{theirs}.bn"


def _resnet(depth: int) -> _Pairs:
    yield "conv1", "conv1"
    yield "bn1", "bn1"
    for stage, blocks in enumerate(resnet.TABLE_1[depth][0], 1):
        for i in range(blocks):
            ours, theirs = f"conv{stage + 1}_{i + 1}", f"layer{stage}.{i}"
            for layer in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"):
                yield f"{ours}.{layer}", f"{theirs}.{layer}"
            yield f"{ours}.projection", f"{theirs}.downsample.0"
            yield f"{ours}.projection_bn", f"{theirs}.downsample.1"
    yield "fc", "fc"
