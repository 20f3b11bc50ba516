"""A model's name, as a module class with fixed attributes and defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flax import linen as nn


@dataclass(frozen=True)
class Variant:
    """A named model.

    Attributes:
      model_class: Module class; its attributes are the options.
      fixed: Attributes that define this model, and are no options.
      defaults: Options with other defaults than the class.
      image_shape: Height, width and channels of the images in its paper.
    """

    model_class: type[nn.Module]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    image_shape: tuple[int, int, int] = (224, 224, 3)
