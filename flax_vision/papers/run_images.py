"""Images of a run, and outputs of its layers for them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.analysis.features import features
from flax_vision.data.dataset import Dataset
from flax_vision.evaluation.run_data import load_images
from flax_vision.papers.experiment import Run
from flax_vision.weights.loading import load_metadata, load_model

_BATCH = 128


def read_images(run: Run, split: str, limit: int = 0) -> tuple[np.ndarray, Dataset]:
    """Returns images of a split, uint8 [N, H, W, C], and their dataset.

    Args:
      run: A finished run.
      split: `train`, `validation` or `test`.
      limit: Number of images in a random sample; 0 for all images.
    """
    _, images = load_images(run.path, load_metadata(run.path), split, lambda *_: None)
    if 0 < limit < len(images):
        chosen = np.random.RandomState(0).permutation(len(images))[:limit]
        images = images.take(np.sort(chosen))
    ((pixels, _),) = images.batches([np.arange(len(images))], None)
    return np.asarray(pixels), images


def layer_outputs(run: Run, images: np.ndarray, layer: str) -> np.ndarray:
    """Returns the outputs of a layer as vectors, float32 [N, features].

    Args:
      run: A finished run.
      images: uint8 [N, H, W, C].
      layer: Name of the layer, as in `fv.features`.
    """
    metadata, model, variables, _ = load_model(run.path)
    parts = in_batches(
        lambda x: features(model, variables, metadata.preprocessing(x), layer), images
    )
    return np.concatenate([part.reshape(len(part), -1) for part in parts])


def logits(run: Run, images: np.ndarray) -> np.ndarray:
    """Returns the outputs of a run's model, float32 [N, classes].

    Args:
      run: A finished run.
      images: uint8 [N, H, W, C].
    """
    metadata, model, variables, _ = load_model(run.path)

    @jax.jit
    def apply(variables: Mapping[str, Any], x: jax.Array) -> jax.Array:
        outputs: Any = model.apply(variables, metadata.preprocessing(x), train=False)
        return jnp.asarray(outputs)

    return np.concatenate(in_batches(partial(apply, variables), images))


def probabilities(run: Run, images: np.ndarray) -> np.ndarray:
    """Returns the softmax outputs of a run's model, float32 [N, classes].

    Args:
      run: A finished run.
      images: uint8 [N, H, W, C].
    """
    return np.asarray(jax.nn.softmax(logits(run, images)))


def in_batches(function: Callable[[Any], Any], images: np.ndarray) -> list[np.ndarray]:
    """Returns the results of a function for batches of images; the last one is padded.

    Args:
      function: Function of images [batch, ...] that returns an array [batch, ...].
      images: [N, ...], at least one.
    """
    size = min(_BATCH, len(images))
    results = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        padded = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        results.append(np.asarray(function(padded))[: len(batch)])
    return results
