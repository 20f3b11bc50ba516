"""Networks and their parameters, in and out of files and other libraries."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flax_vision.weights.torchvision import from_torchvision, to_torchvision

__all__ = ["from_torchvision", "to_torchvision"]


def __getattr__(name: str) -> Any:
    # The programs settle things before JAX is imported, which needs a second for it too.
    if name not in __all__:
        raise AttributeError(f"module 'flax_vision.weights' has no attribute {name!r}")
    return getattr(import_module("flax_vision.weights.torchvision"), name)
