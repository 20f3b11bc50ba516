import io

import numpy as np
import pytest
from published_archives import idx

from flax_vision.data.prepare.idx import read_images, read_labels

IMAGES = np.random.default_rng(0).integers(0, 256, (1003, 28, 28), np.uint8)
LABELS = (np.arange(1003) % 10).astype(np.uint8)


def test_images_arrive_in_order():
    found = list(read_images(io.BytesIO(idx(IMAGES)), 1003))
    np.testing.assert_array_equal(np.stack(found), IMAGES)


def test_labels():
    np.testing.assert_array_equal(read_labels(io.BytesIO(idx(LABELS)), 1003, 10), LABELS)


def test_first_images_of_a_longer_file():
    assert len(list(read_images(io.BytesIO(idx(IMAGES)), 5))) == 5


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (idx(IMAGES)[:-1], EOFError, "it ends 1 bytes too early"),
        (idx(IMAGES[:7]), ValueError, r"shape \[7, 28, 28\], not \[1003, 28, 28\]"),
        (idx(IMAGES[:, 1:]), ValueError, r"shape \[1003, 27, 28\], not"),
        (idx(LABELS), ValueError, "begins with 00000801, which is no idx file of 3 axes"),
        (b"", EOFError, "4 bytes too early"),
    ],
)
def test_damaged_images(content, error, message):
    with pytest.raises(error, match=message):
        list(read_images(io.BytesIO(content), 1003))


def test_label_without_a_class():
    with pytest.raises(ValueError, match="it has a label 9, but the set has 9 classes"):
        read_labels(io.BytesIO(idx(LABELS)), 1003, 9)
