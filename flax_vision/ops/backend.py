"""Where the choice between the plain and the fast forms is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_plain = ContextVar("flax_vision_plain_forms", default=False)


def use_cpu_kernels() -> bool:
    """Whether the default backend is one on which the fast forms are the faster ones: a CPU."""
    return not _plain.get() and jax.default_backend() == "cpu"


@contextmanager
def reference_ops() -> Iterator[None]:
    """Has what is traced meanwhile be made of JAX's own operations, for programs that leave here.

    What was traced before stays as it is: trace a new function.
    """
    before = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(before)
