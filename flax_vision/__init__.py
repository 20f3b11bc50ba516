"""Five classic papers of computer vision as Flax linen modules, with their own recipes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flax_vision import weights
    from flax_vision.analysis.features import features
    from flax_vision.cli.interactive import train
    from flax_vision.data.custom_datasets import register_dataset
    from flax_vision.evaluation.classifier import Classifier
    from flax_vision.evaluation.evaluate import evaluate
    from flax_vision.models.registry import create_model, list_models, register_model
    from flax_vision.runtime.mesh import make_mesh
    from flax_vision.training.callbacks import Callback, StopTraining
    from flax_vision.weights.loading import load

__all__ = [
    "Callback",
    "Classifier",
    "StopTraining",
    "create_model",
    "evaluate",
    "features",
    "list_models",
    "load",
    "make_mesh",
    "register_dataset",
    "register_model",
    "train",
    "weights",
]
__version__: str

_MODULES = {
    "Callback": "flax_vision.training.callbacks",
    "Classifier": "flax_vision.evaluation.classifier",
    "StopTraining": "flax_vision.training.callbacks",
    "create_model": "flax_vision.models.registry",
    "evaluate": "flax_vision.evaluation.evaluate",
    "features": "flax_vision.analysis.features",
    "list_models": "flax_vision.models.registry",
    "load": "flax_vision.weights.loading",
    "make_mesh": "flax_vision.runtime.mesh",
    "register_dataset": "flax_vision.data.custom_datasets",
    "register_model": "flax_vision.models.registry",
    "train": "flax_vision.cli.interactive",
}
"""Module of each public name; imported at its first use, because JAX takes a second to import."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("flax_vision")
    if name == "weights":
        return import_module("flax_vision.weights")
    if name not in _MODULES:
        raise AttributeError(f"module 'flax_vision' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
