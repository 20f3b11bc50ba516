"""What a name stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flax import linen as nn


@dataclass(frozen=True)
class Variant:
    """A network under a name of its own.

    Attributes:
      network: the module's class; its attributes are the options.
      fixed: attributes that make it this network, and are no options.
      defaults: options that it sets otherwise than the class.
      image_shape: height, width and channels of the images in its paper.
    """

    network: type[nn.Module]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    image_shape: tuple[int, int, int] = (224, 224, 3)
