"""Values from JSON as the types that dataclasses declare."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

_SIZE_LIMIT = 2**14
"""Bound of whole numbers, all of which are sizes of images."""

_MAX_SHOWN = 60
"""Letters of a wrong value that an error shows."""

_SCALARS = {
    bool: "true or false",
    int: f"a whole number below {_SIZE_LIMIT}",
    float: "a finite number",
    str: "text",
}

T = TypeVar("T")


def to_dataclass(value: Any, kind: type[T], where: str) -> T:
    """Converts an object from JSON to a dataclass, whose fields it must have and no others.

    Args:
      value: Object from JSON.
      kind: Dataclass with fields of scalars, `Any`, dataclasses, and `Mapping`, `Sequence`,
        `tuple`, `Literal` and optional types of these.
      where: Name of the object in errors.

    Raises:
      ValueError: The object or a value in it is of another type.
    """
    _check(isinstance(value, dict), value, "an object", where)
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(typing.cast(Any, kind))]
    for name in names:
        if name not in value:
            raise ValueError(f"{where} has no {name!r}")
    for name in value:
        if name not in names:
            raise ValueError(f"{where} has an unknown {_shown(name)}")
    return kind(**{name: _convert(value[name], hints[name], f"{where}.{name}") for name in names})


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return to_dataclass(value, typing.cast(type, hint), where)
    if origin in (typing.Union, types.UnionType):
        is_none = value is None and types.NoneType in args
        return None if is_none else _convert(value, args[0], where)
    if origin is Literal:
        _check(value in args, value, f"one of {', '.join(map(repr, args))}", where)
        return value
    if origin is Mapping:
        _check(isinstance(value, dict), value, "an object", where)
        return {key: _convert(x, args[1], f"{where}[{_shown(key)}]") for key, x in value.items()}
    if origin in (Sequence, tuple):
        return _convert_list(value, origin, args, where)
    _check(_is_scalar(value, hint), value, _SCALARS[hint], where)
    return value


def _convert_list(value: Any, origin: Any, args: tuple[Any, ...], where: str) -> Any:
    _check(isinstance(value, list), value, "a list", where)
    is_fixed = origin is tuple and args[-1] is not ...
    if is_fixed:
        _check(len(value) == len(args), value, f"a list of {len(args)}", where)
    hints = args if is_fixed else args[:1] * len(value)
    items = [
        _convert(x, hint, f"{where}[{i}]")
        for i, (x, hint) in enumerate(zip(value, hints, strict=True))
    ]
    return tuple(items) if origin is tuple else items


def _is_scalar(value: Any, hint: type) -> bool:
    if isinstance(value, bool) or hint in (bool, str):
        return type(value) is hint
    if hint is int:
        return isinstance(value, int) and abs(value) < _SIZE_LIMIT
    return isinstance(value, int | float) and abs(value) < math.inf


def _check(is_valid: bool, value: Any, valid: str, where: str) -> None:
    if not is_valid:
        raise ValueError(f"{where} is {_shown(value)}, not {valid}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
