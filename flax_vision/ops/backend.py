"""Choice between the reference operations and the CPU kernels, for the whole library.

The library works without the folder `ops/cpu` once `use_cpu_kernels` returns False.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

import jax

_P = ParamSpec("_P")
_R = TypeVar("_R")

_reference_only = ContextVar("flax_vision_reference_only", default=False)


def use_cpu_kernels() -> bool:
    """Tells whether the CPU kernels are used: on a CPU, outside `reference_ops`."""
    return not _reference_only.get() and jax.default_backend() == "cpu"


def with_cpu_kernel(reference: Callable[_P, _R]) -> Callable[_P, _R]:
    """Lets the function of the same name in `ops/cpu` replace an operation on CPUs."""

    @functools.wraps(reference)
    def chosen(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        function = _cpu_kernel(reference.__name__) if use_cpu_kernels() else reference
        return function(*args, **kwargs)

    return chosen


@contextmanager
def reference_ops() -> Iterator[None]:
    """Traces the reference operations only, for programs that leave this machine.

    Functions that were traced earlier keep their kernels, so trace a new function.
    """
    token = _reference_only.set(True)
    try:
        yield
    finally:
        _reference_only.reset(token)


def describe() -> str:
    """Returns one line about the implementation of convolutions."""
    return _cpu_kernel("describe")() if use_cpu_kernels() else "convolutions: XLA"


def _cpu_kernel(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module("flax_vision.ops.cpu"), name)
    return function
