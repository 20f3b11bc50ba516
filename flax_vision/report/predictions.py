"""What a trained network takes test images for, and how sure it is."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flax_vision.data.batches import Batch, evaluation_batches
from flax_vision.data.image_set import Images, Report
from flax_vision.evaluation.protocols import CENTER
from flax_vision.evaluation.trial import evenly, judged, prepare
from flax_vision.weights.exported import ModelCard


@dataclass(frozen=True)
class Predictions:
    """Of all images of a set.

    Attributes:
      labels: int32 [N], their classes.
      taken_for: int32 [N], the classes that the network gave them; -1 where an image could not be
        read.
      confidence: float32 [N], the posteriors of these, 0 to 1.
    """

    labels: np.ndarray
    taken_for: np.ndarray
    confidence: np.ndarray


def predict(card: ModelCard, variables: Any, images: Images, report: Report) -> Predictions:
    """Returns what a network takes images for, each seen as in the run's own test.

    Args:
      card: of the network.
      variables: of it.
      images: at least one.
      report: called with a text, the images done so far and their number.
    """
    trial = prepare(card, CENTER, tuple(images.image_shape))

    @jax.jit
    def step(variables: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        scores = trial.scores(variables, batch.images)
        _, classes = judged(scores, batch.labels, batch.mask)
        shares = jnp.take_along_axis(jax.nn.softmax(scores), classes[:, None], axis=1)
        return classes, shares[:, 0]

    variables = jax.device_put(variables)
    taken_for = np.full(len(images), -1, np.int32)
    confidence, done = np.zeros(len(images), np.float32), 0
    for batch in evaluation_batches(images, evenly(len(images), trial.batch_size)):
        classes, shares = jax.device_get(step(variables, batch))
        places = batch.place[batch.mask]
        taken_for[places], confidence[places] = classes[batch.mask], shares[batch.mask]
        done += len(batch.mask)
        report("the test images", min(done, len(images)), len(images))
    return Predictions(images.labels, taken_for, confidence)
