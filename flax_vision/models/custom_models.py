"""Checks and options of custom models, which users register."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flax import linen as nn

from flax_vision.errors import UserError
from flax_vision.models.catalog import Entry, Paper
from flax_vision.models.summary import summarize, totals
from flax_vision.models.variant import Variant

_SIGNATURE = "def __call__(self, images, *, train=False)"

_PLAIN = (bool, int, float, str)
"""Types of options that a configuration can contain; tuples of them are valid too."""


def make_variant(
    name: str,
    module: Callable[..., nn.Module],
    image_shape: Sequence[int],
    options: Mapping[str, Any],
    registered_by: str,
) -> Variant:
    """Returns the definition of a custom model.

    Args:
      name: Name of the model.
      module: Module class, or a function with the same arguments that returns a module.
      image_shape: Height, width and channels of the images.
      options: Defaults of options, in place of the module's own.
      registered_by: Name of the Python module that registers it.

    Raises:
      UserError: The name, the module or the shape is not valid.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"the model's name is {name!r}; give letters, digits and the signs _.-")
    _check_shape(name, image_shape)
    create = partial(_create, name, module)
    model = create(options)
    if not hasattr(model, "num_classes"):
        raise UserError(
            f"{_title(module)}, the module of {name!r}, has no attribute num_classes; add it, and "
            "return logits [N, num_classes]."
        )
    if create({**options, "num_classes": 7}).num_classes != 7:
        raise UserError(
            f"{_title(module)}, the module of {name!r}, ignores num_classes; pass it to the module."
        )
    _check_call(name, model)
    return Variant(
        module,
        defaults=options,
        image_shape=(image_shape[0], image_shape[1], image_shape[2]),
        registered_by=registered_by,
    )


def option_defaults(variant: Variant) -> dict[str, Any]:
    """Returns the options of a custom model that a configuration can contain, with defaults.

    Functions, modules and other objects are no options.
    """
    parameters = inspect.signature(variant.model_class).parameters.values()
    defaults = {item.name: item.default for item in parameters} | dict(variant.defaults)
    return {key: value for key, value in defaults.items() if _is_option(key, value)}


def make_entry(variant: Variant) -> Entry:
    """Returns the catalog entry of a custom model, for images of its default shape."""
    rows = summarize(variant.model_class(**variant.defaults), variant.image_shape)
    sums = totals(rows)[-1]
    paper = Paper(None, f"(registered by {variant.registered_by})")
    return Entry(paper, sums.parameters, sums.multiply_adds)


def _create(name: str, module: Any, options: Mapping[str, Any]) -> Any:
    if isinstance(module, nn.Module) or not callable(module):
        raise UserError(
            f"the module of {name!r} is {module!r}; give a linen Module class, or a function that "
            "returns a module."
        )
    try:
        model = module(**options)
    except TypeError as error:
        raise UserError(
            f"{_title(module)}, the module of {name!r}, cannot be created: {error}. Give each "
            "option without a default to register_model, such as num_classes=10."
        ) from error
    if not isinstance(model, nn.Module):
        raise UserError(
            f"{_title(module)}, the module of {name!r}, returns a {type(model).__name__}; it must "
            "return a flax.linen.Module."
        )
    return model


def _check_call(name: str, model: nn.Module) -> None:
    """Raises a UserError unless the trainer and the tests can call the model."""
    title = type(model).__name__
    if not callable(model):
        raise UserError(f"{title}, the module of {name!r}, has no __call__; write {_SIGNATURE}.")
    signature = inspect.signature(model.__call__)
    train = signature.parameters.get("train")
    try:
        signature.bind(None)
        signature.bind(None, train=True)
        is_valid = train is not None and train.default is False
    except TypeError:
        is_valid = False
    if not is_valid:
        raise UserError(
            f"{title}, the module of {name!r}, has the call signature {signature}; write "
            f"{_SIGNATURE}."
        )


def _check_shape(name: str, shape: Any) -> None:
    is_shape = isinstance(shape, tuple | list) and len(shape) == 3
    if not is_shape or not all(type(size) is int and size > 0 for size in shape):
        raise UserError(
            f"image_shape of {name!r} is {shape!r}; give height, width and channels, such as "
            "(32, 32, 3)."
        )


def _is_option(key: str, value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(isinstance(item, _PLAIN) for item in value)
    return isinstance(value, _PLAIN) or (key == "dtype" and value is not inspect.Parameter.empty)


def _title(module: Any) -> str:
    return getattr(module, "__name__", None) or repr(module)
