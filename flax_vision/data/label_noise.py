"""Random label noise in a training set."""

import dataclasses

import numpy as np

from flax_vision.data.dataset import DatasetT
from flax_vision.errors import UserError
from flax_vision.text import counted


def add_label_noise(dataset: DatasetT, share: float, seed: int) -> DatasetT:
    """Returns a dataset in which a share of the labels is replaced by another class.

    All other classes are equally likely (symmetric noise). The seed, the number of images and the
    index decide whether a label is replaced, and by which class. A larger share also replaces the
    labels of a smaller one, by the same classes.

    Args:
      dataset: Training images.
      share: Share of the labels, 0 to 1, rounded to whole images.
      seed: Seed of the random numbers.

    Returns:
      The images in the order of `dataset`, with a line about the number of replaced labels.

    Raises:
      UserError: There is only one class.
    """
    classes = len(dataset.class_names)
    if not share:
        return dataset
    if classes < 2:
        raise UserError(
            f"config.data.label_noise is {share}, but there is only the class "
            f"{dataset.class_names[0]!r}, so no label can be replaced; give 0."
        )
    labels = np.array(dataset.labels, np.int32)
    # RandomState's streams, unlike Generator's, never change between releases of NumPy.
    random = np.random.RandomState([seed, 0]).random_sample(len(labels))
    steps = np.random.RandomState([seed, 1]).randint(1, classes, len(labels))
    replaced = np.argsort(random, kind="stable")[: round(share * len(labels))]
    labels[replaced] = (labels[replaced] + steps[replaced]) % classes
    note = f"data.label_noise: {len(replaced):,} of {counted(len(labels), 'training label')} "
    note += "replaced by another random class"
    return dataclasses.replace(  # type: ignore[type-var]
        dataset, labels=labels, warnings=[*dataset.warnings, note]
    )
