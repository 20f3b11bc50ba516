"""Parameters to and from torchvision's state dictionaries.

A table a network says which module of torchvision's holds the parameters of which of ours; shapes
and the order of axes follow from the layers.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.errors import UserError, unknown
from flax_vision.models import resnet, vgg
from flax_vision.models.registry import create_model, find_variant, list_models

Path = tuple[str, ...]
"""Of an array in the variables: the collection, the layers, and `kernel`, `bias` and so on."""

_LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
}
_COUNTER = "num_batches_tracked"


def from_torchvision(name: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the variables of the network `name` from a state dictionary of torchvision's.

    The number of classes is that of the last layer; for `googlenet_torchvision` the auxiliary heads
    are there if the state dictionary has them.

    Args:
      name: `alexnet_owt`, `vgg11` to `vgg19` and their `_bn` forms, `googlenet_torchvision`, or
        `resnet18_v1_5` to `resnet152_v1_5`.
      state_dict: arrays, or tensors on the CPU, by torchvision's names.

    Returns:
      `{"params": ..., "batch_stats": ...}` of NumPy arrays, for the network's `apply`.

    Raises:
      UserError: torchvision has no such network, or tensors are missing, surplus or misshapen.
    """
    modules = _modules(name)
    given = {key: np.asarray(x) for key, x in state_dict.items() if not key.endswith(_COUNTER)}
    options = _classes(given.get(f"{modules[_last_layer(modules)]}.bias"))
    if name == "googlenet_torchvision":
        options["auxiliary_heads"] = any(key.startswith("aux") for key in given)
    variables = _shapes(name, options)
    expected = {_their_name(modules, path): path for path in variables}
    shapes = {key: _their_shape(key, variables[path]) for key, path in expected.items()}
    _compare(name, shapes, {key: x.shape for key, x in given.items()})
    return unflatten_dict(
        {path: _ours(given[key], variables[path]) for key, path in expected.items()}
    )


def to_torchvision(name: str, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns torchvision's state dictionary for the variables of the network `name`.

    What `from_torchvision` made of one comes back bit for bit; the counters of batches, which
    torchvision's networks do not use, are 0.

    Args:
      name: see `from_torchvision`.
      variables: `{"params": ..., "batch_stats": ...}`.

    Raises:
      UserError: torchvision has no such network, or the variables are not those of it.
    """
    modules = _modules(name)
    ours = {path: np.asarray(x) for path, x in flatten_dict(dict(variables)).items()}
    options = _classes(ours.get(("params", _last_layer(modules), "bias")))
    if name == "googlenet_torchvision":
        options["auxiliary_heads"] = any("auxiliary_4a" in path for path in ours)
    shapes = {"/".join(path): shape for path, shape in _shapes(name, options).items()}
    _compare(name, shapes, {"/".join(path): x.shape for path, x in ours.items()})
    state_dict = {}
    for path, x in ours.items():
        key = _their_name(modules, path)
        state_dict[key] = _theirs(x, key)
        if path[-1] == "var":
            state_dict[key.replace("running_var", _COUNTER)] = np.zeros((), np.int64)
    return state_dict


def _classes(bias: np.ndarray | None) -> dict[str, Any]:
    """Returns the option that the last layer's bias tells, if there is one."""
    return {} if bias is None or bias.ndim != 1 else {"num_classes": len(bias)}


def _shapes(name: str, options: Mapping[str, Any]) -> dict[Path, tuple[int, ...]]:
    """Returns the shape of every array in the variables of a network."""
    image = jax.ShapeDtypeStruct((1, *find_variant(name).image_shape), "float32")
    variables = jax.eval_shape(create_model(name, **options).init, jax.random.key(0), image)
    return {path: x.shape for path, x in flatten_dict(variables).items()}


def _compare(
    name: str, expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]
) -> None:
    """Raises a UserError that lists what differs between two sides."""
    shared = expected.keys() & given.keys()
    groups = {
        "missing": sorted(f"{key} {list(expected[key])}" for key in expected.keys() - shared),
        "surplus": sorted(f"{key} {list(given[key])}" for key in given.keys() - shared),
        "misshapen": sorted(
            f"{key} {list(given[key])} instead of {list(expected[key])}"
            for key in shared
            if expected[key] != given[key]
        ),
    }
    problems = [f"{kind}: {', '.join(keys)}" for kind, keys in groups.items() if keys]
    if problems:
        raise UserError(
            f"these are not the {len(expected)} arrays of {name}, but {len(given)}; "
            + "; ".join(problems)
        )


def _their_name(modules: Mapping[str, str], path: Path) -> str:
    return f"{modules['.'.join(path[1:-1])]}.{_LEAVES[path[-1]]}"


def _is_linear(key: str) -> bool:
    return "fc" in key or key.startswith("classifier")


def _their_shape(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) < 2:
        return shape
    *window, inputs, outputs = shape
    if _is_linear(key):
        return outputs, int(np.prod(window)) * inputs
    return outputs, inputs, *window


def _ours(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) < 2:
        return x
    # A fully connected layer's inputs lie in the order C, H, W.
    *window, inputs, outputs = shape
    axes = (*range(2, len(shape)), 1, 0)
    return np.ascontiguousarray(x.reshape(outputs, inputs, *window).transpose(axes))


def _theirs(x: np.ndarray, key: str) -> np.ndarray:
    if x.ndim < 2:
        return x
    axes = (x.ndim - 1, x.ndim - 2, *range(x.ndim - 2))
    return np.ascontiguousarray(x.transpose(axes)).reshape(_their_shape(key, x.shape))


def _modules(name: str) -> dict[str, str]:
    """Returns torchvision's module for each of our layers, as dotted paths; the last layer last."""
    builders = _networks()
    if name not in builders:
        raise unknown("network of torchvision's", name, builders)
    return dict(builders[name]())


def _last_layer(modules: Mapping[str, str]) -> str:
    return list(modules)[-1]


def _networks() -> dict[str, Callable[[], Iterator[tuple[str, str]]]]:
    networks = {"alexnet_owt": _alexnet, "googlenet_torchvision": _googlenet}
    for name in list_models():
        fixed = find_variant(name).fixed
        if fixed.get("stride_in") == "3x3":
            networks[name] = partial(_resnet, fixed["depth"])
        if fixed.get("configuration") in ("A", "B", "D", "E"):
            networks[name] = partial(_vgg, fixed["configuration"], "batch_norm" in fixed)
    return networks


def _alexnet() -> Iterator[tuple[str, str]]:
    for i, place in enumerate((0, 3, 6, 8, 10), 1):
        yield f"conv{i}", f"features.{place}"
    for i, place in enumerate((1, 4, 6), 6):
        yield f"fc{i}", f"classifier.{place}"


def _vgg(configuration: str, batch_norm: bool) -> Iterator[tuple[str, str]]:
    place = 0
    for block, layers in enumerate(vgg.TABLE_1[configuration], 1):
        for i, _ in enumerate(layers.split(), 1):
            yield f"conv{block}_{i}", f"features.{place}"
            yield f"bn{block}_{i}", f"features.{place + 1}"
            place += 3 if batch_norm else 2  # with its ReLU
        place += 1  # the pool
    for i, place in enumerate((0, 3, 6), 6):
        yield f"fc{i}", f"classifier.{place}"


def _googlenet() -> Iterator[tuple[str, str]]:
    for ours, theirs in {"conv1": "conv1", "conv2_reduce": "conv2", "conv2": "conv3"}.items():
        yield from _unit(ours, theirs)
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
            yield from _unit(f"inception_{module}.{ours}", f"inception{module}.{theirs}")
    for ours, theirs in {"auxiliary_4a": "aux1", "auxiliary_4d": "aux2"}.items():
        yield from _unit(f"{ours}.conv", f"{theirs}.conv")
        yield f"{ours}.fc", f"{theirs}.fc1"
        yield f"{ours}.linear", f"{theirs}.fc2"
    yield "linear", "fc"


def _unit(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield ours, f"{theirs}.conv"
    yield f"{ours}_bn", f"{theirs}.bn"


def _resnet(depth: int) -> Iterator[tuple[str, str]]:
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
