"""Saved models, and weights to and from other libraries."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flax_vision.weights.torchvision import from_torchvision, to_torchvision

__all__ = ["from_torchvision", "to_torchvision"]


def __getattr__(name: str) -> Any:
    # Imports JAX on first use: the commands configure the process before that.
    if name not in __all__:
        raise AttributeError(f"module 'flax_vision.weights' has no attribute {name!r}")
    return getattr(import_module("flax_vision.weights.torchvision"), name)
