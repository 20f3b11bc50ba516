"""Random parameters, in the layouts of our models and of PyTorch modules."""

from collections.abc import Callable

import jax
import numpy as np
import torch
from flax.traverse_util import flatten_dict, unflatten_dict

LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def random_variables(model, image_shape, seed=0):
    """Draws random variables; the kernels preserve the variance through ReLUs."""
    random = np.random.default_rng(seed)
    images = jax.ShapeDtypeStruct((1, *image_shape), "float32")
    shapes = flatten_dict(jax.eval_shape(model.init, jax.random.key(0), images))

    def draw(path, shape):
        if path[-1] == "kernel":
            inputs = np.prod(shape[-4:-1])
            return random.standard_normal(shape, np.float32) * np.float32((2 / inputs) ** 0.5)
        if path[-1] == "scale":
            # Both signs: with one, swapping normalization and max-pooling would go unnoticed.
            signs = random.choice([-1, 1], shape)
            return (signs * random.uniform(0.5, 1.5, shape)).astype(np.float32)
        if path[-1] == "var":
            return random.uniform(0.5, 1.5, shape).astype(np.float32)
        return 0.1 * random.standard_normal(shape, np.float32)

    return unflatten_dict({path: draw(path, leaf.shape) for path, leaf in shapes.items()})


def copy_into(module: torch.nn.Module, variables, name: Callable[[tuple[str, ...]], str]) -> None:
    """Copies variables into a PyTorch module.

    Args:
      module: PyTorch module with exactly these parameters.
      variables: Variables of our model.
      name: Function from the path of a layer to the module's name for it; if the arrays have an
        axis of columns, the path ends with the column.
    """
    target = module.state_dict()
    left = {key for key in target if not key.endswith("num_batches_tracked")}
    for (_, *layers, leaf), value in flatten_dict(variables).items():
        columns = dict(zip("ab", value, strict=True)) if _has_columns(leaf, value) else {"": value}
        for column, array in columns.items():
            path = (*layers, column) if column else tuple(layers)
            key = f"{name(path)}.{LEAVES.get(leaf, leaf)}"
            target[key].copy_(tensor(array).reshape(target[key].shape))
            left.remove(key)
    assert not left


def relative(actual, expected) -> float:
    """Returns the largest difference, relative to the largest value."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def tensor(array) -> torch.Tensor:
    """Returns a tensor; a kernel's outputs and inputs become its first axes."""
    array = np.asarray(array)
    axes = (array.ndim - 1, array.ndim - 2, *range(array.ndim - 2)) if array.ndim > 1 else None
    return torch.from_numpy(np.ascontiguousarray(array.transpose(axes)))


def _has_columns(leaf: str, array) -> bool:
    return array.ndim == {"kernel": 5, "bias": 2}.get(leaf)
