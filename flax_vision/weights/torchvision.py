"""Parameters to and from torchvision's state dictionaries.

Names come from `torchvision_modules`; shapes and the order of axes follow from the layers.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.errors import UserError
from flax_vision.models.registry import create_model, find_variant
from flax_vision.weights.arrays import differences
from flax_vision.weights.torchvision_modules import modules_of

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

    torchvision's pretrained GoogLeNet first maps its input from the usual mean and deviation to
    (x - 0.5) / 0.5, its `transform_input`, of which a state dictionary knows nothing: give
    `googlenet_torchvision` with those weights images that are normalized so.

    Args:
      name: `alexnet_owt`, `vgg11` to `vgg19` and their `_bn` forms, `googlenet_torchvision`, or
        `resnet18_v1_5` to `resnet152_v1_5`.
      state_dict: arrays, or tensors on the CPU, by torchvision's names.

    Returns:
      `{"params": ..., "batch_stats": ...}` of NumPy arrays, for the network's `apply`; half
        precision becomes float32.

    Raises:
      UserError: torchvision has no such network, or tensors are missing, surplus, misshapen or not
        to be read.
    """
    # Copies, which training the other network would change otherwise.
    return jax.tree.map(np.copy, mapped(name, state_dict).variables)


class Mapped(NamedTuple):
    """A state dictionary, as a network of ours has it.

    Attributes:
      variables: `{"params": ..., "batch_stats": ...}`, views of the state dictionary's arrays where
        their type allows it.
      options: of the network: the number of classes, and whether there are auxiliary heads.
      names: torchvision's name of each array, by its path in the variables.
    """

    variables: dict[str, Any]
    options: dict[str, Any]
    names: dict[Path, str]


def mapped(name: str, state_dict: Mapping[str, Any]) -> Mapped:
    """Returns what a state dictionary is to the network `name`; see `from_torchvision`."""
    modules = modules_of(name)
    given = _arrays(state_dict)
    last = modules[list(modules)[-1]]
    options = _classes(given.get(f"{last}.bias")) or _classes(given.get(f"{last}.weight"), 2)
    if name == "googlenet_torchvision":
        options["auxiliary_heads"] = any(key.startswith("aux") for key in given)
    variables = _shapes(name, options)
    expected = {_their_name(modules, path): path for path in variables}
    shapes = {key: _their_shape(key, variables[path]) for key, path in expected.items()}
    _compare(name, shapes, {key: x.shape for key, x in given.items()})
    ours = {path: _ours(given[key], variables[path]) for key, path in expected.items()}
    return Mapped(unflatten_dict(ours), options, {path: key for key, path in expected.items()})


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
    modules = modules_of(name)
    ours = {path: np.asarray(x) for path, x in flatten_dict(dict(variables)).items()}
    options = _classes(ours.get(("params", list(modules)[-1], "bias")))
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


def _arrays(state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the parameters and statistics in a state dictionary as NumPy arrays."""
    if not isinstance(state_dict, Mapping):
        raise UserError(
            f"the state dictionary is a {type(state_dict).__name__}; give a mapping of names to "
            "arrays, such as torchvision's module.state_dict()."
        )
    return {key: _array(key, x) for key, x in state_dict.items() if not key.endswith(_COUNTER)}


def _array(key: str, x: Any) -> np.ndarray:
    try:
        is_bfloat16 = str(getattr(x, "dtype", "")) == "torch.bfloat16"  # which NumPy has not
        array = np.asarray(x.float() if is_bfloat16 else x)
    except Exception as error:  # PyTorch's, of a tensor on a GPU or with a gradient
        raise UserError(f"{key} cannot be read as an array: {error}") from error
    if not jax.numpy.issubdtype(array.dtype, np.floating):  # bfloat16 among them
        raise UserError(
            f"{key} is a {type(x).__name__} of {array.dtype}, not an array of floating-point "
            "numbers. If it holds the state dictionary, give that."
        )
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


def _classes(array: np.ndarray | None, ndim: int = 1) -> dict[str, Any]:
    """Returns the option that an array of the last layer tells, if there is one."""
    return {} if array is None or array.ndim != ndim else {"num_classes": len(array)}


def _shapes(name: str, options: Mapping[str, Any]) -> dict[Path, tuple[int, ...]]:
    """Returns the shape of every array in the variables of a network."""
    image = jax.ShapeDtypeStruct((1, *find_variant(name).image_shape), "float32")
    variables = jax.eval_shape(create_model(name, **options).init, jax.random.key(0), image)
    return {path: x.shape for path, x in flatten_dict(variables).items()}


def _compare(
    name: str, expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]
) -> None:
    """Raises a UserError that lists what differs between two sides."""
    problems = differences(expected, given)
    if given and not expected.keys() & given.keys():
        prefix = "no name agrees, so look for a prefix such as 'module.' before each"
        problems = f"{prefix}; {problems}"
    if problems:
        raise UserError(
            f"these are not the {len(expected)} arrays of {name}, but {len(given)}; {problems}"
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
    return x.reshape(outputs, inputs, *window).transpose(axes)


def _theirs(x: np.ndarray, key: str) -> np.ndarray:
    if x.ndim < 2:
        return x.copy()
    axes = (x.ndim - 1, x.ndim - 2, *range(x.ndim - 2))
    return x.transpose(axes).copy().reshape(_their_shape(key, x.shape))
