"""LeNet-5 as a space displacement neural network, 1998.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11): section VII. C5 is a convolution, so a field wider than 32 pixels
gives a row of outputs instead of one. It equals LeNet-5 at each place along the field, and shares
the convolutions of overlapping places.
"""

import dataclasses

from flax import linen as nn
from jax import Array

from flax_vision.errors import UserError
from flax_vision.models.layers import check_images
from flax_vision.models.lenet import INPUT_SIZE, LeNet5, LeNet5Modern

PLACE_DISTANCE = 4
"""Distance between two places in pixels: S2 and S4 each halve the resolution."""


class _Displaced(nn.Module):
    """The methods in which a displaced model differs: its field, and its places."""

    def field(self, images: Array) -> Array:
        """Returns images [N, 32, W, C] unchanged.

        Raises:
          ValueError: The images are not 32 high, are narrower than 32, or not floating point.
        """
        check_images(images, "the space displacement network", min_size=INPUT_SIZE)
        if images.shape[1] != INPUT_SIZE:
            raise ValueError(
                f"images are {images.shape[1]} pixels high; the space displacement network takes "
                f"{INPUT_SIZE}."
            )
        return images

    def places(self, c5: Array) -> Array:
        """Returns the features [N, places, 120] of C5 [N, 1, places, 120]."""
        return c5[:, 0]


class SpaceDisplacementLeNet5(_Displaced, LeNet5):
    """LeNet-5 along a field of any width, with the parameters of `LeNet5`.

    Takes floating-point images [N, 32, W, C]. Returns scores float32 [N, places, num_classes], as
    `LeNet5` does for the 32x32 pixels from each place on. Places are 4 pixels apart, so there are
    (W - 32) // 4 + 1. It has the attributes of `LeNet5`.
    """


class SpaceDisplacementLeNet5Modern(_Displaced, LeNet5Modern):
    """`LeNet5Modern` along a field of any width, see `SpaceDisplacementLeNet5`."""


_FORMS: dict[type[nn.Module], type[nn.Module]] = {
    LeNet5: SpaceDisplacementLeNet5,
    LeNet5Modern: SpaceDisplacementLeNet5Modern,
}


def space_displacement(model: nn.Module) -> nn.Module:
    """Returns the space displacement network of a LeNet-5, which takes the same variables.

    ```python
    model = space_displacement(fv.create_model("lenet5"))
    variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    print(model.apply(variables, jnp.zeros((1, 32, 100, 1))).shape)  # (1, 18, 10)
    ```

    Args:
      model: Model `lenet5` or `lenet5_modern`.

    Returns:
      Module that maps images [N, 32, W, C] to scores [N, places, num_classes].

    Raises:
      UserError: The model is another one.

    Source: LeCun et al. 1998, section VII.
    """
    form = _FORMS.get(type(model))
    if form is None:
        raise UserError(
            f"a {type(model).__name__} has no space displacement form; give lenet5 or "
            "lenet5_modern."
        )
    fields = [field.name for field in dataclasses.fields(model) if field.init]
    options = {name: getattr(model, name) for name in fields if name not in ("parent", "name")}
    return form(**options)
