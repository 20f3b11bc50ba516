"""Every network by its name."""

import dataclasses
import fnmatch
import typing
from collections.abc import Mapping
from numbers import Integral
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from flax_vision.errors import UserError, unknown
from flax_vision.models import alexnet, googlenet, lenet, resnet, vgg
from flax_vision.models.variant import Variant
from flax_vision.runtime.mesh import COLUMN

_DTYPES = ("bfloat16", "float16", "float32")
_FAMILIES = (lenet, alexnet, vgg, googlenet, resnet)
_MODELS: dict[str, Variant] = {
    name: variant for family in _FAMILIES for name, variant in family.MODELS.items()
}


def list_models(pattern: str | None = None) -> list[str]:
    """Returns the sorted names of all networks, or of those that match a shell-style pattern.

    Args:
      pattern: for example `"lenet5*"`; None for all.
    """
    return sorted(fnmatch.filter(_MODELS, pattern) if pattern else _MODELS)


def create_model(
    name: str, *, num_classes: int | None = None, mesh: Mesh | None = None, **options: Any
) -> nn.Module:
    """Returns the network `name` as a linen module.

    Its `init(key, images)` and `apply(variables, images, train=False)` take float32 images
    [N, H, W, C]; `apply` returns float32 logits [N, num_classes].

    Args:
      name: one of `list_models()`.
      num_classes: how many classes; None for the number in the paper.
      mesh: of devices; an axis `column` of 2 has each column of `alexnet` run on its own, other
        networks take one whose axis is 1 or missing, which changes nothing. None for one device.
      **options: the network's other options, by the names in `model_options(name)`.

    Raises:
      UserError: a name, an option or a value that does not exist, with the nearest that does.
    """
    valid = model_options(name)
    for option, value in options.items():
        if option not in valid:
            raise unknown(f"option of {name}", option, ["num_classes", "mesh", *valid])
        _check_value(name, option, value)
    if num_classes is not None:
        is_integer = isinstance(num_classes, Integral) and not isinstance(num_classes, bool)
        if not is_integer or num_classes < 1:
            raise UserError(f"num_classes is {num_classes!r}; it must be an integer of at least 1.")
        options["num_classes"] = int(num_classes)
    variant = _MODELS[name]
    if mesh is not None:
        _check_mesh(name, mesh)
        if _has_columns(variant):
            options["mesh"] = mesh
    return variant.network(**{**variant.defaults, **options, **variant.fixed})


def model_options(name: str) -> dict[str, Any]:
    """Returns the options of the network `name`, with their defaults.

    `num_classes` and `mesh`, which `create_model` takes by themselves, are not among them.

    Raises:
      UserError: there is no such network.
    """
    variant = find_variant(name)
    module = variant.network(**variant.defaults)
    hidden = {"parent", "name", "num_classes", "mesh", *variant.fixed}
    fields = [f.name for f in dataclasses.fields(module) if f.init and f.name not in hidden]
    return {field: getattr(module, field) for field in fields}


FREE_OPTIONS = (
    *("initialization", "dropout", "auxiliary_dropout", "dtype", "fully_convolutional"),
    *("auxiliary_heads", "codes"),
)
"""Options in which two networks with the same parameters may differ, for they compute the same from
them; or that are of heads, which may be others."""


def differing_options(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Returns, of the options that both have, those by which the same parameters mean two networks.

    Args:
      one: of one network, or what its name fixes.
      other: of the other.
    """
    return {
        key: (one[key], value)
        for key, value in other.items()
        if key in one and key not in FREE_OPTIONS and one[key] != value
    }


def find_variant(name: str) -> Variant:
    """Returns what the network `name` is made of.

    Raises:
      UserError: there is no such network.
    """
    if name not in _MODELS:
        raise unknown("network", name, _MODELS)
    return _MODELS[name]


def _check_value(name: str, option: str, value: Any) -> None:
    """Raises a UserError where `value` is not of the type that the network declares."""
    hint = typing.get_type_hints(_MODELS[name].network)[option]
    if option == "dtype" and _dtype_name(value) not in _DTYPES:
        raise unknown(f"dtype of {name}", value, _DTYPES)
    if typing.get_origin(hint) is Literal:
        if value not in typing.get_args(hint):
            raise unknown(f"{option} of {name}", value, typing.get_args(hint))
    elif hint is bool and not isinstance(value, bool):
        raise UserError(f"{option} of {name} is {value!r}; it must be True or False.")
    elif hint is float and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UserError(f"{option} of {name} is {value!r}; it must be a number.")
    if option.endswith("dropout") and not 0 <= value < 1:
        raise UserError(f"{option} of {name} is {value!r}; it must be from 0 to below 1.")


def _has_columns(variant: Variant) -> bool:
    return hasattr(variant.network, "column_layers")


def _check_mesh(name: str, mesh: Any) -> None:
    """Raises a UserError where `mesh` is none, or divides columns that the network has not."""
    if not isinstance(mesh, Mesh):
        raise UserError(f"mesh of {name} is {mesh!r}; give one such as make_mesh(data=2).")
    size = mesh.shape.get(COLUMN, 1)
    if size > 1 and not _has_columns(_MODELS[name]):
        valid = ", ".join(key for key, variant in _MODELS.items() if _has_columns(variant))
        raise UserError(
            f"the mesh's axis {COLUMN!r} is {size}, and {name} has no columns; give it 1, or "
            f"choose a network that has them: {valid}."
        )


def _dtype_name(value: Any) -> str:
    try:
        return jnp.dtype(value).name
    except TypeError:
        return str(value)
