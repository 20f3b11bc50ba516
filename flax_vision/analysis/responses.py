"""Layer responses, as in figure 7 of the ResNet paper."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from flax_vision.errors import UserError
from flax_vision.models.conv_bn_relu import separate_layers
from flax_vision.models.layers import BatchNorm


def layer_responses(
    model: nn.Module, variables: Any, images: jax.Array | np.ndarray
) -> dict[str, jax.Array]:
    """Returns the responses of all 3x3 layers in evaluation, from the first layer to the last.

    A response is the output of a 3x3 convolution after its batch normalization, and before the ReLU
    or the addition of a shortcut (He et al., 2015, figure 7).

    ```python
    model, variables = fv.load("runs/resnet20")
    responses = layer_responses(model, variables, images)
    print({layer: float(x.std()) for layer, x in responses.items()})
    ```

    Other calls of the model keep its convolutions fused with normalization and ReLU.

    Args:
      model: The model.
      variables: Variables of the model.
      images: Preprocessed images, float32 [N, H, W, C].

    Returns:
      Float32 [N, H', W', K] by the path of the convolution, such as `conv2_1/conv1`.

    Raises:
      UserError: The model has no batch normalization after a 3x3 convolution.
      ValueError: The model does not accept the images.
    """
    names = _names(model, variables, images[:1])
    return dict(zip(names, _compiled_responses(model, variables, images), strict=True))


def response_stds(
    model: nn.Module,
    variables: Any,
    images: jax.Array | np.ndarray,
    batch_size: int = 128,
) -> dict[str, float]:
    """Returns the standard deviation of each layer's responses, over images, pixels and channels.

    ```python
    model, variables = fv.load("runs/resnet20")
    stds = response_stds(model, variables, images)
    ranked = sorted(stds.values(), reverse=True)  # the lower half of figure 7
    ```

    Args:
      model: The model.
      variables: Variables of the model.
      images: Preprocessed images, float32 [N, H, W, C].
      batch_size: Number of images whose responses are in memory at a time.

    Returns:
      Standard deviations by the path of the convolution, see `layer_responses`.

    Raises:
      UserError: There are no images, or no batch normalization follows a 3x3 convolution.
      ValueError: The model does not accept the images.
    """
    if not len(images):
        raise UserError("there are no images; the responses need one or more.")
    names = _names(model, variables, images[:1])
    moments, counts = [], []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        moments.append(np.asarray(_moments(model, variables, batch), np.float64))
        counts.append(len(batch))
    means, variances = np.moveaxis(np.asarray(moments), 2, 0)
    mean = np.average(means, 0, counts)
    variance = np.average(variances + (means - mean) ** 2, 0, counts)
    return dict(zip(names, np.sqrt(variance).tolist(), strict=True))


@partial(jax.jit, static_argnames="model")
def _moments(model: nn.Module, variables: Any, images: jax.Array) -> jax.Array:
    """Returns the mean and the variance of each layer's responses: [layers, 2]."""
    responses = _responses(model, variables, images).values()
    return jnp.asarray([(x.mean(), x.var()) for x in responses])


@partial(jax.jit, static_argnames="model")
def _compiled_responses(model: nn.Module, variables: Any, images: jax.Array) -> list[jax.Array]:
    return list(_responses(model, variables, images).values())


def _names(model: nn.Module, variables: Any, images: Any) -> list[str]:
    """Returns the paths of the convolutions in the order in which the model applies them."""
    names: list[str] = []

    def trace(variables: Any, images: jax.Array) -> None:
        names.extend(_responses(model, variables, images))

    jax.eval_shape(trace, variables, images)
    if not names:
        raise UserError(
            f"{type(model).__name__} has no batch normalization after a 3x3 convolution, whose "
            "output is the response; give a ResNet, a plain network, or a model with _bn."
        )
    return names


def _responses(model: nn.Module, variables: Any, images: jax.Array) -> dict[str, jax.Array]:
    responses: dict[str, jax.Array] = {}
    with separate_layers(), nn.intercept_methods(_recorder(responses)):
        model.apply(variables, images, train=False)
    return responses


def _recorder(responses: dict[str, jax.Array]) -> Callable[..., Any]:
    """Returns an interceptor that records each normalization of a 3x3 convolution's output."""
    convolved: list[tuple[Any, str]] = [(None, "")]

    def record(
        method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        output, module = method(*args, **kwargs), context.module
        if context.method_name != "__call__":
            return output
        maps, path = convolved[0]
        if isinstance(module, BatchNorm | nn.BatchNorm) and args[0] is maps:
            responses[path] = output.astype(jnp.float32)
        elif _is_3x3(module):
            convolved[0] = output, "/".join(module.path)
        return output

    return record


def _is_3x3(module: nn.Module) -> bool:
    has_kernel = module.has_variable("params", "kernel")
    shape = module.get_variable("params", "kernel").shape if has_kernel else ()
    return len(shape) == 4 and shape[:2] == (3, 3)
