"""Converts variables from and to torchvision's state dictionaries.

`torchvision_modules` has the names; the layers' shapes determine the order of axes.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.errors import UserError
from flax_vision.models.registry import create_model, find_variant
from flax_vision.weights.array_tree import Shape, shape_differences
from flax_vision.weights.torchvision_modules import torchvision_modules

Path = tuple[str, ...]
"""Path of an array in the variables: collection, layers, and `kernel`, `bias` and so on."""

_LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
}
_COUNTER = "num_batches_tracked"


def from_torchvision(name: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a torchvision state dictionary to variables of the model `name`.

    The last layer determines the number of classes. `googlenet_torchvision` has auxiliary heads if
    the state dictionary has them.

    torchvision's pretrained GoogLeNet first maps its input from the usual mean and deviation to
    (x - 0.5) / 0.5. A state dictionary does not record this `transform_input`: normalize images
    like that for `googlenet_torchvision` with those weights.

    Args:
      name: `alexnet_owt`, `vgg11` to `vgg19` and their `_bn` variants, `googlenet_torchvision`, or
        `resnet18_v1_5` to `resnet152_v1_5`.
      state_dict: Arrays, or tensors on the CPU, by torchvision's names.

    Returns:
      `{"params": ..., "batch_stats": ...}` of NumPy arrays, for the model's `apply`; half
        precision becomes float32.

    Raises:
      UserError: torchvision does not have the model, or tensors are missing, surplus, misshapen or
        unreadable.
    """
    # Copies: training the other model must not change these variables.
    return jax.tree.map(np.copy, convert_state_dict(name, state_dict).variables)


class ConvertedWeights(NamedTuple):
    """A state dictionary as variables of our model.

    Attributes:
      variables: `{"params": ..., "batch_stats": ...}`, views of the state dictionary's arrays where
        their type allows it.
      options: Options of the model: the number of classes, and whether it has auxiliary heads.
      names: torchvision's name of each array, by its path in the variables.
    """

    variables: dict[str, Any]
    options: dict[str, Any]
    names: dict[Path, str]


def convert_state_dict(name: str, state_dict: Mapping[str, Any]) -> ConvertedWeights:
    """Converts a state dictionary without copies; see `from_torchvision`."""
    modules = torchvision_modules(name)
    given = _read_arrays(state_dict)
    last = modules[list(modules)[-1]]
    options = _num_classes(given.get(f"{last}.bias")) or _num_classes(
        given.get(f"{last}.weight"), 2
    )
    if name == "googlenet_torchvision":
        options["auxiliary_heads"] = any(key.startswith("aux") for key in given)
    shapes = _shapes(name, options)
    names = {path: _torchvision_key(modules, path) for path in shapes}
    expected = {key: _torchvision_shape(key, shapes[path]) for path, key in names.items()}
    _check_shapes(name, expected, {key: x.shape for key, x in given.items()})
    arrays = {path: _from_torchvision(given[key], shapes[path]) for path, key in names.items()}
    return ConvertedWeights(unflatten_dict(arrays), options, names)


def to_torchvision(name: str, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Converts variables of the model `name` to a torchvision state dictionary.

    Weights convert from and to torchvision exactly. The counters of batches, which torchvision's
    models do not use, are 0.

    Args:
      name: Name of the model, as in `from_torchvision`.
      variables: `{"params": ..., "batch_stats": ...}`.

    Raises:
      UserError: torchvision does not have the model, or the variables belong to another model.
    """
    modules = torchvision_modules(name)
    arrays = {path: np.asarray(x) for path, x in flatten_dict(dict(variables)).items()}
    options = _num_classes(arrays.get(("params", list(modules)[-1], "bias")))
    if name == "googlenet_torchvision":
        options["auxiliary_heads"] = any("auxiliary_4a" in path for path in arrays)
    expected = {"/".join(path): shape for path, shape in _shapes(name, options).items()}
    _check_shapes(name, expected, {"/".join(path): x.shape for path, x in arrays.items()})
    state_dict = {}
    for path, x in arrays.items():
        key = _torchvision_key(modules, path)
        state_dict[key] = _to_torchvision(x, key)
        if path[-1] == "var":
            state_dict[key.replace("running_var", _COUNTER)] = np.zeros((), np.int64)
    return state_dict


def _read_arrays(state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the parameters and statistics in a state dictionary as NumPy arrays."""
    if not isinstance(state_dict, Mapping):
        raise UserError(
            f"the state dictionary is a {type(state_dict).__name__}; give a mapping of names to "
            "arrays, such as torchvision's module.state_dict()."
        )
    return {key: _read_array(key, x) for key, x in state_dict.items() if not key.endswith(_COUNTER)}


def _read_array(key: str, x: Any) -> np.ndarray:
    try:
        is_bfloat16 = str(getattr(x, "dtype", "")) == "torch.bfloat16"  # unknown to NumPy
        array = np.asarray(x.float() if is_bfloat16 else x)
    except Exception as error:  # PyTorch's error for a tensor on a GPU or with a gradient
        raise UserError(f"{key} cannot be read as an array: {error}") from error
    if not jax.numpy.issubdtype(array.dtype, np.floating):  # True for JAX's bfloat16
        raise UserError(
            f"{key} is a {type(x).__name__} of {array.dtype}, not an array of floating-point "
            "numbers. If it holds the state dictionary, give that."
        )
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


def _num_classes(array: np.ndarray | None, ndim: int = 1) -> dict[str, Any]:
    """Returns the option `num_classes` from an array of the last layer; empty if unknown."""
    return {} if array is None or array.ndim != ndim else {"num_classes": len(array)}


def _shapes(name: str, options: Mapping[str, Any]) -> dict[Path, Shape]:
    """Returns the shape of every array in the variables of a model."""
    image = jax.ShapeDtypeStruct((1, *find_variant(name).image_shape), "float32")
    variables = jax.eval_shape(create_model(name, **options).init, jax.random.key(0), image)
    return {path: x.shape for path, x in flatten_dict(variables).items()}


def _check_shapes(name: str, expected: Mapping[str, Shape], given: Mapping[str, Shape]) -> None:
    """Raises a UserError that lists missing, surplus and misshapen arrays."""
    problems = shape_differences(expected, given)
    if given and not expected.keys() & given.keys():
        prefix = "no name agrees, so look for a prefix such as 'module.' before each"
        problems = f"{prefix}; {problems}"
    if problems:
        raise UserError(
            f"these are not the {len(expected)} arrays of {name}, but {len(given)}; {problems}"
        )


def _torchvision_key(modules: Mapping[str, str], path: Path) -> str:
    return f"{modules['.'.join(path[1:-1])]}.{_LEAVES[path[-1]]}"


def _torchvision_shape(key: str, shape: Shape) -> Shape:
    if len(shape) < 2:
        return shape
    *window, inputs, outputs = shape
    if "fc" in key or key.startswith("classifier"):  # fully connected
        return outputs, int(np.prod(window)) * inputs
    return outputs, inputs, *window


def _from_torchvision(x: np.ndarray, shape: Shape) -> np.ndarray:
    if len(shape) < 2:
        return x
    # The inputs of a fully connected layer are in the order C, H, W.
    *window, inputs, outputs = shape
    axes = (*range(2, len(shape)), 1, 0)
    return x.reshape(outputs, inputs, *window).transpose(axes)


def _to_torchvision(x: np.ndarray, key: str) -> np.ndarray:
    if x.ndim < 2:
        return x.copy()
    axes = (x.ndim - 1, x.ndim - 2, *range(x.ndim - 2))
    return x.transpose(axes).copy().reshape(_torchvision_shape(key, x.shape))
