"""LeNet-5 as a space displacement neural network, 1998.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11): section VII. C5 is a convolution, so a field wider than 32 pixels
gives a row of outputs instead of one. Each output is the output of LeNet-5 on a window of 32x32
pixels; overlapping windows share their convolutions.
"""

import dataclasses

from flax import linen as nn
from jax import Array

from flax_vision.errors import UserError
from flax_vision.models.layers import check_images
from flax_vision.models.lenet import INPUT_SIZE, LeNet5, LeNet5Modern

OUTPUT_STRIDE = 4
"""Distance between two positions, in pixels: S2 and S4 each halve the resolution."""


class _Displaced(nn.Module):
    """The methods that differ from LeNet-5: the input field and the output positions."""

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

    def positions(self, c5: Array) -> Array:
        """Returns the features [N, positions, 120] of C5 [N, 1, positions, 120]."""
        return c5[:, 0]


class SpaceDisplacementLeNet5(_Displaced, LeNet5):
    """LeNet-5 along a field of any width, with the parameters of `LeNet5`.

    Takes floating-point images [N, 32, W, C]. Returns scores float32 [N, positions,
    num_classes]. Each position has the scores of `LeNet5` for its window of 32x32 pixels. Windows
    are 4 pixels apart, so there are (W - 32) // 4 + 1. It has the attributes of `LeNet5`.
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
      Module that maps images [N, 32, W, C] to scores [N, positions, num_classes].

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
