"""A small model with batch normalization, and its statistics in NumPy."""

from typing import Any

import jax
import numpy as np
from flax import linen as nn

from flax_vision.models.layers import BatchNorm

EPSILON = 1e-5


class Normalized(nn.Module):
    """Normalized pixels of 4x4 blocks, two mixtures of them normalized again, and a classifier."""

    num_classes: int = 10
    flax_norm: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, images, *, train=False):
        norm = nn.BatchNorm if self.flax_norm else BatchNorm
        x = images.reshape(len(images), images.shape[1] // 4, -1, 4 * images.shape[3])
        x = norm(use_running_average=not train, epsilon=EPSILON, name="first")(x)

        def mix(_: nn.Module, x: jax.Array) -> jax.Array:
            x = nn.Dense(2, name="mix")(nn.relu(x))
            return norm(use_running_average=not train, epsilon=EPSILON, name="second")(x)

        x = (nn.remat(mix) if self.remat else mix)(self, x)
        return nn.Dense(self.num_classes, name="fc")(nn.relu(x).mean((1, 2)))


def reference_statistics(params: Any, batches: list[np.ndarray]) -> dict[str, tuple[Any, Any]]:
    """Returns the mean and the variance of each layer's input over all batches, in float64.

    Args:
      params: Parameters of `Normalized`.
      batches: Preprocessed images of each batch, [N, H, W, C].
    """
    params = jax.tree.map(np.float64, jax.device_get(params))
    first, second = [], []
    for images in np.asarray(batches, np.float64):
        x = images.reshape(len(images), images.shape[1] // 4, -1, 4 * images.shape[3])
        first.append(x)
        deviation = np.sqrt(x.var((0, 1, 2)) + EPSILON)
        x = (x - x.mean((0, 1, 2))) / deviation * params["first"]["scale"] + params["first"]["bias"]
        second.append(np.maximum(x, 0) @ params["mix"]["kernel"] + params["mix"]["bias"])
    inputs = {"first": np.concatenate(first), "second": np.concatenate(second)}
    return {name: (x.mean((0, 1, 2)), x.var((0, 1, 2))) for name, x in inputs.items()}


def check_statistics(found: Any, expected: dict[str, tuple[Any, Any]]) -> None:
    """Compares a collection `batch_stats` with reference statistics."""
    for name, (mean, variance) in expected.items():
        np.testing.assert_allclose(found[name]["mean"], mean, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(found[name]["var"], variance, rtol=5e-5, atol=2e-6)
