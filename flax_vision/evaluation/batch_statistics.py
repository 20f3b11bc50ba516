r"""Population statistics of batch normalization, in place of running averages.

Running statistics average over batches, and the weights change between these. With fixed weights,
many batches give the statistics of the whole population (Wu and Johnson, "Rethinking 'Batch' in
BatchNorm", 2021, section 3; "PreciseBN" in fvcore and Detectron2). The authors of ResNet computed
them in this way after training (README of their models).
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from flax_vision.models.layer_paths import LayerPath
from flax_vision.models.layers import BatchNorm


@contextmanager
def batch_statistics_only() -> Iterator[set[LayerPath]]:
    """Within this context, traced batch normalization stores the statistics of its batch alone.

    The layers are `BatchNorm` of this package and of Flax.

    Yields:
      A set to which tracing adds the paths of these layers.
    """
    layers: set[LayerPath] = set()
    with nn.intercept_methods(partial(_without_momentum, layers)):
        yield layers


def _without_momentum(
    layers: set[LayerPath],
    method: Any,
    args: Any,
    kwargs: Any,
    context: nn.module.InterceptorContext,
) -> Any:
    """Calls a method; batch normalization replaces its running statistics."""
    layer = context.module
    if not isinstance(layer, BatchNorm | nn.BatchNorm) or context.method_name != "__call__":
        return method(*args, **kwargs)
    layers.add(layer.path)
    momentum = layer.momentum
    object.__setattr__(layer, "momentum", 0.0)  # modules are frozen dataclasses
    try:
        return method(*args, **kwargs)
    finally:
        object.__setattr__(layer, "momentum", momentum)


def batch_norm_layers(model: nn.Module, input_shape: tuple[int, ...]) -> frozenset[LayerPath]:
    """Returns the paths of the batch normalization layers of a model.

    Args:
      model: The model.
      input_shape: Height, width and channels of its input.
    """
    images = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    with batch_statistics_only() as layers:
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)
    return frozenset(layers)


def population_statistics(
    batch_stats: Any, batches: Iterable[Any], layers: Collection[LayerPath]
) -> Any:
    r"""Combines the statistics of batches into the statistics of all their images.

    With batches of one size, and means :math:`\mu_b` and variances :math:`\sigma_b^2` of each,

    .. math:: E[x] = \overline{\mu_b}, \quad E[x^2] = \overline{\sigma_b^2 + \mu_b^2}, \quad
       \sigma^2 = E[x^2] - E[x]^2.

    The mean of the variances alone would omit the variance between batches. As in training, earlier
    layers normalize the inputs of a layer by the statistics of the batch.

    Args:
      batch_stats: Collection of a model, with a mean and a variance for each layer.
      batches: The same collection for each batch; at least one.
      layers: Paths of the layers to replace; the others keep their statistics.

    Returns:
      The collection as NumPy arrays, float32.
    """
    sums: dict[LayerPath, Any] = {}
    count = 0
    for statistics in _one_behind(batches):
        count += 1
        flat = flatten_dict(jax.device_get(statistics))
        for layer in layers:
            mean, variance = (np.float64(flat[*layer, name]) for name in ("mean", "var"))
            moments = np.stack([mean, variance + mean**2])
            sums[layer] = sums.get(layer, 0) + moments
    combined = flatten_dict(jax.device_get(batch_stats))
    for layer, moments in sums.items():
        mean, mean_square = moments / count
        combined[*layer, "mean"] = np.float32(mean)
        combined[*layer, "var"] = np.float32(np.maximum(mean_square - mean**2, 0))
    return unflatten_dict(combined)


def _one_behind(batches: Iterable[Any]) -> Iterator[Any]:
    """Yields each item after the next one is dispatched, so that the device never waits."""
    iterator = iter(batches)
    previous = next(iterator)
    for following in iterator:
        yield previous
        previous = following
    yield previous
