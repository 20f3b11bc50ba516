"""A custom dataset, for the trainer, `evaluate` and `report`.

Train on it:

    python train.py --import examples.custom_dataset --config configs/lenet5.py \
        --config.data.name=stripes --config.model.name=lenet5_modern --workdir=runs/stripes

This command evaluates the model:

    flax-vision --import examples.custom_dataset evaluate runs/stripes

The function returns uint8 images [N, H, W] or [N, H, W, C] and integer labels of each split. A
share of the training images replaces a missing split.
"""

from typing import Any

import numpy as np

import flax_vision as fv


def load() -> dict[str, Any]:
    """Returns images of 28x28 with horizontal, vertical or diagonal stripes and some noise."""
    random = np.random.default_rng(0)
    labels = random.integers(3, size=1500)
    y, x = np.mgrid[:28, :28]
    phases = np.stack([y, x, x + y])[labels] + random.integers(8, size=(1500, 1, 1))
    stripes = np.where(phases % 8 < 4, 200, 40)
    images = np.clip(stripes + random.normal(0, 40, stripes.shape), 0, 255).astype(np.uint8)
    return {"train": (images[:1200], labels[:1200]), "test": (images[1200:], labels[1200:])}


fv.register_dataset("stripes", load, class_names=["horizontal", "vertical", "diagonal"])
