"""The five papers that made computer vision, as Flax linen modules with their own recipes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flax_vision import weights
    from flax_vision.evaluation.classifier import Classifier
    from flax_vision.models.registry import create_model, list_models
    from flax_vision.runtime.mesh import make_mesh
    from flax_vision.weights.loading import load

__all__ = ["Classifier", "create_model", "list_models", "load", "make_mesh", "weights"]
__version__: str

_HOMES = {
    "Classifier": "flax_vision.evaluation.classifier",
    "create_model": "flax_vision.models.registry",
    "list_models": "flax_vision.models.registry",
    "load": "flax_vision.weights.loading",
    "make_mesh": "flax_vision.runtime.mesh",
}


def __getattr__(name: str) -> Any:
    # Imports take time: JAX a second, which a command that only prints its help need not pay.
    if name == "__version__":
        return import_module("importlib.metadata").version("flax_vision")
    if name == "weights":
        return import_module("flax_vision.weights")
    if name not in _HOMES:
        raise AttributeError(f"module 'flax_vision' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
