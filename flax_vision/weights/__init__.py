"""Networks and their parameters, in and out of files and other libraries."""

from flax_vision.weights.torchvision import from_torchvision, to_torchvision

__all__ = ["from_torchvision", "to_torchvision"]
