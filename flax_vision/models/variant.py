"""A model's name, as a module class with fixed attributes and defaults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flax import linen as nn


@dataclass(frozen=True)
class Variant:
    """A named model.

    Attributes:
      model_class: Module class, whose attributes are the options. For a custom model it may be a
        function with the same arguments.
      fixed: Attributes that define this model, and are no options.
      defaults: Options with other defaults than the class.
      image_shape: Height, width and channels of the images in its paper.
      registered_by: Name of the Python module that registered a custom model; otherwise empty.
    """

    model_class: Callable[..., nn.Module]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    image_shape: tuple[int, int, int] = (224, 224, 3)
    registered_by: str = ""
