"""Activations of a model's layers."""

from functools import partial
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict

from flax_vision.errors import unknown
from flax_vision.models.conv_bn_relu import separate_layers


def features(
    model: nn.Module, variables: Any, images: jax.Array | np.ndarray, layer: str
) -> np.ndarray:
    """Returns the activations of a layer in evaluation.

    A layer is an output that the model sows into `intermediates`, such as `pool5`, or the path of a
    module with slashes, such as `conv2_1/conv1`.

    ```python
    model, variables = fv.load("runs/lenet5")
    images = np.zeros((2, 28, 28, 1), np.float32)
    print(fv.features(model, variables, images, "f6").shape)
    ```

    Args:
      model: The model.
      variables: Variables of the model.
      images: Preprocessed images, float32 [N, H, W, C].
      layer: Name of the layer.

    Returns:
      float32 [N, ...]. A module that is applied several times gives its last output.

    Raises:
      UserError: The model has no such layer; the message lists all layers.
      ValueError: The model does not accept the images.
    """
    names = list(jax.eval_shape(partial(_outputs, model), variables, images))
    if layer not in names:
        raise unknown(f"layer of {type(model).__name__}", layer, names)
    return np.asarray(_compiled_output(model, variables, images, layer))


@partial(jax.jit, static_argnames=("model", "layer"))
def _compiled_output(model: nn.Module, variables: Any, images: Any, layer: str) -> jax.Array:
    return _outputs(model, variables, images)[layer].astype("float32")


def _outputs(model: nn.Module, variables: Any, images: Any) -> dict[str, jax.Array]:
    """Returns the outputs of all layers with one output array; jit removes unused ones."""
    with separate_layers():
        _, updates = model.apply(
            variables, images, train=False, mutable=["intermediates"], capture_intermediates=True
        )
    flat = flatten_dict(updates["intermediates"], sep="/")
    del flat["__call__"]  # the model's own output
    outputs = {name.removesuffix("/__call__"): calls[-1] for name, calls in flat.items()}
    return {name: x for name, x in outputs.items() if isinstance(x, jax.Array) and x.ndim}
