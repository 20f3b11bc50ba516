"""The embedded set of 5,000 MNIST digits, 500 of each class."""

from importlib import resources

import numpy as np

from flax_vision.data.dataset import ArrayDataset, stratified_split


def load_mnist_5k() -> tuple[ArrayDataset, ArrayDataset]:
    """Loads 4,000 digits for training and 1,000 for testing, uint8 [N, 28, 28, 1].

    The split is identical on every machine, with 400 and 100 images of each digit.
    """
    file = resources.files("flax_vision.data") / "mnist_5k.npz"
    with file.open("rb") as content, np.load(content) as arrays:
        images, labels = arrays["images"][..., None], arrays["labels"].astype(np.int32)
    return stratified_split(ArrayDataset(images, labels, list("0123456789")), 0.2)
