"""Training sets with a limited number of images of each class."""

import dataclasses

import numpy as np

from flax_vision.data.dataset import DatasetT
from flax_vision.errors import UserError
from flax_vision.text import counted


def limit_classes(dataset: DatasetT, limit: int, seed: int) -> DatasetT:
    """Returns the first images of each class in a random order.

    The order depends only on the seed, the class and its number of images. A larger limit therefore
    contains the images of a smaller one.

    Args:
      dataset: Training images.
      limit: Number of images of each class; 0 for all.
      seed: Seed of the order.

    Returns:
      The images in the order of `dataset`, with a line about their number.

    Raises:
      UserError: A class has fewer images.
    """
    if not limit:
        return dataset
    labels = np.asarray(dataset.labels)
    chosen = []
    for label, name in enumerate(dataset.class_names):
        members = np.flatnonzero(labels == label)
        if len(members) < limit:
            raise UserError(
                f"config.data.limit is {limit:,}, and the class {name!r} has only "
                f"{counted(len(members), 'training image')}; give at most {len(members):,}, or 0 "
                "for all images."
            )
        # RandomState's streams, unlike Generator's, never change between releases of NumPy.
        order = np.random.RandomState([seed, label]).permutation(members)
        chosen.append(order[:limit])
    indices = np.sort(np.concatenate(chosen))
    note = (
        f"data.limit: {counted(limit, 'image')} of each class, {len(indices):,} of {len(labels):,}"
    )
    taken = dataset.take(indices)
    return dataclasses.replace(  # type: ignore[type-var]
        taken, labels=labels[indices], warnings=[*dataset.warnings, note]
    )
