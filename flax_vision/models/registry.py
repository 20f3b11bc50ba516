"""All models by name."""

import dataclasses
import fnmatch
import sys
import typing
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from flax_vision.errors import UserError, unknown
from flax_vision.models import (
    alexnet,
    alexnet_cifar,
    alexnet_one_column,
    catalog,
    custom_models,
    googlenet,
    lenet,
    lenet_comparison,
    resnet,
    vgg,
)
from flax_vision.models.variant import Variant
from flax_vision.runtime.mesh import COLUMN

_DTYPES = ("bfloat16", "float16", "float32")
_MODELS: dict[str, Variant] = {
    **(lenet.MODELS | lenet_comparison.MODELS),
    **(alexnet.MODELS | alexnet_one_column.MODELS | alexnet_cifar.MODELS),
    **(vgg.MODELS | googlenet.MODELS | resnet.MODELS),
}

FREE_OPTIONS = (
    *("initialization", "dropout", "auxiliary_dropout", "dtype", "fully_convolutional"),
    *("auxiliary_heads", "codes", "n", "remat", "stochastic_depth", "stochastic_depth_mode"),
)
"""Options that may differ between two models with the same parameters.

They do not change the meaning of the parameters, or belong to heads, which may be replaced.
"""


def list_models(pattern: str | None = None) -> list[str]:
    """Returns the sorted names of all models, or of those that match a shell-style pattern.

    Args:
      pattern: Pattern such as `"lenet5*"`; None for all.
    """
    return sorted(fnmatch.filter(_MODELS, pattern) if pattern else _MODELS)


def register_model(
    name: str,
    module: Callable[..., nn.Module],
    *,
    image_shape: tuple[int, int, int],
    **options: Any,
) -> None:
    """Registers a custom model, for `create_model`, the trainer and every command.

    ```python
    fv.register_model("tiny", Tiny, image_shape=(28, 28, 1), num_classes=10)
    ```

    A program that loads such a trained model must first import the module that registers it. The
    commands import it with `--import MODULE`.

    Args:
      name: New name.
      module: Linen Module class, or a function with the same arguments that returns a module. The
        module has an attribute `num_classes`. The call `module(images, train=False)` maps float32
        images [N, H, W, C] to float32 logits [N, num_classes].
      image_shape: Default height, width and channels of the images.
      **options: Defaults of the module's attributes, in place of its own. Attributes that are
        numbers, strings, bools or tuples of them become options of the model, and so does `dtype`.

    Raises:
      UserError: The name exists, or the module has another interface.
    """
    if name in _MODELS:
        by = _MODELS[name].registered_by
        raise UserError(
            f"a model {name!r} exists already{f', registered by {by!r}' if by else ''}; give "
            "another name."
        )
    registered_by = _module_name(sys._getframe(1).f_globals)
    variant = custom_models.make_variant(name, module, image_shape, options, registered_by)
    _MODELS[name] = variant
    catalog.CUSTOM_ENTRIES[name] = partial(custom_models.make_entry, variant)


def registered_by(name: str) -> str:
    """Returns the name of the Python module that registered a model; empty for built-in ones."""
    return _MODELS[name].registered_by if name in _MODELS else ""


def _module_name(names: Mapping[str, Any]) -> str:
    """Returns the name with which another program imports the module that has these globals."""
    name = str(names.get("__name__", "__main__"))
    if name == "__main__" and names.get("__file__"):
        spec = names.get("__spec__")
        return spec.name if spec else Path(names["__file__"]).stem
    return name


def create_model(
    name: str, *, num_classes: int | None = None, mesh: Mesh | None = None, **options: Any
) -> nn.Module:
    """Returns the model `name` as a linen module.

    Its `init(key, images)` and `apply(variables, images, train=False)` take float32 images
    [N, H, W, C]; `apply` returns float32 logits [N, num_classes].

    Args:
      name: Name from `list_models()`.
      num_classes: Number of classes; None for the paper's.
      mesh: Mesh of devices; None for one device. An axis `column` of 2 runs each column of
        `alexnet` on its own device. Other models ignore a mesh, whose axis `column` must be 1 or
        missing.
      **options: Other options of the model, see `model_options(name)`.

    Raises:
      UserError: A name, an option or a value does not exist; the nearest valid one is offered.
    """
    valid = model_options(name)
    for option, value in options.items():
        if option not in valid:
            raise unknown(f"option of {name}", option, ["num_classes", "mesh", *valid])
        _check_value(name, option, value)
    if num_classes is not None:
        if not _is_integer(num_classes) or num_classes < 1:
            raise UserError(f"num_classes is {num_classes!r}; it must be an integer of at least 1.")
        options["num_classes"] = int(num_classes)
    variant = _MODELS[name]
    if mesh is not None:
        _check_mesh(name, mesh)
        if _has_columns(variant):
            options["mesh"] = mesh
    return variant.model_class(**{**variant.defaults, **options, **variant.fixed})


def model_options(name: str) -> dict[str, Any]:
    """Returns the options of the model `name`, with their defaults.

    `num_classes` and `mesh` are separate arguments of `create_model`, and not among them.

    Raises:
      UserError: There is no such model.
    """
    variant = find_variant(name)
    hidden = {"parent", "name", "num_classes", "mesh", *variant.fixed}
    if variant.registered_by:
        options = custom_models.option_defaults(variant)
        return {option: value for option, value in options.items() if option not in hidden}
    module: Any = variant.model_class(**variant.defaults)
    fields = [f.name for f in dataclasses.fields(module) if f.init and f.name not in hidden]
    return {field: getattr(module, field) for field in fields}


def differing_options(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Returns the options by which the same parameters mean two different models.

    Args:
      one: Options of one model, or the attributes that its name fixes.
      other: The same for another model; options that only one has are ignored.
    """
    return {
        key: (one[key], value)
        for key, value in other.items()
        if key in one and key not in FREE_OPTIONS and one[key] != value
    }


def find_variant(name: str) -> Variant:
    """Returns the definition of the model `name`.

    Raises:
      UserError: There is no such model.
    """
    if name not in _MODELS:
        raise unknown("model", name, _MODELS)
    return _MODELS[name]


def _check_value(name: str, option: str, value: Any) -> None:
    """Raises a UserError unless `value` has the type that the model declares."""
    hint = None
    if not _MODELS[name].registered_by:
        hint = typing.get_type_hints(_MODELS[name].model_class)[option]
    valid = _DTYPES if option == "dtype" else typing.get_args(hint)
    if option == "dtype" or typing.get_origin(hint) is Literal:
        if (_dtype_name(value) if option == "dtype" else value) not in valid:
            raise unknown(f"{option} of {name}", value, valid)
    elif hint is bool and not isinstance(value, bool):
        raise UserError(f"{option} of {name} is {value!r}; it must be True or False.")
    elif hint is int and (not _is_integer(value) or value < 1):
        raise UserError(f"{option} of {name} is {value!r}; it must be an integer of at least 1.")
    elif hint is float and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UserError(f"{option} of {name} is {value!r}; it must be a number.")
    if hint is float and option.endswith(("dropout", "stochastic_depth")) and not 0 <= value < 1:
        raise UserError(f"{option} of {name} is {value!r}; it must be from 0 to below 1.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _has_columns(variant: Variant) -> bool:
    return hasattr(variant.model_class, "column_layers")


def _check_mesh(name: str, mesh: Any) -> None:
    """Raises a UserError unless `mesh` is a mesh that the model can run on."""
    if not isinstance(mesh, Mesh):
        raise UserError(f"mesh of {name} is {mesh!r}; give one such as make_mesh(data=2).")
    size = mesh.shape.get(COLUMN, 1)
    if size > 1 and not _has_columns(_MODELS[name]):
        valid = ", ".join(key for key, variant in _MODELS.items() if _has_columns(variant))
        raise UserError(
            f"the mesh's axis {COLUMN!r} is {size}, and {name} has no columns; give it 1, or "
            f"choose a model with columns: {valid}."
        )


def _dtype_name(value: Any) -> str:
    try:
        return jnp.dtype(value).name
    except TypeError:
        return str(value)
