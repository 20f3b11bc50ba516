import io
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from published_archives import NAMES, cifar_archives

from flax_vision.data.prepare.cifar import cifar_records
from flax_vision.errors import UserError


def records(name, content, split, count, tmp_path):
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(content)
    builder = tfds.builder_cls(name)(data_dir=str(tmp_path))
    return builder, list(cifar_records(builder, {"archive": path}, split, count))


def rows(content, *members):
    """Returns the rows of batches, uint8 [N, labels + 3072]."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        batches = b"".join(archive.extractfile(member).read() for member in members)
    labels = 2 if "100" in members[0] else 1
    return np.frombuffer(batches, np.uint8).reshape(-1, labels + 3072)


def test_cifar10(tmp_path):
    (content,) = cifar_archives("cifar10").values()
    builder, found = records("cifar10", content, "train", 35, tmp_path)
    batches = [f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)]
    for (key, example), row in zip(found, rows(content, *batches), strict=True):
        assert example["id"] == f"train_{key:05d}"
        assert example["label"] == row[0]
        red, _, blue = row[1:].reshape(3, 32, 32)
        np.testing.assert_array_equal(example["image"][..., 0], red)
        np.testing.assert_array_equal(example["image"][..., 2], blue)
    assert builder.info.features["label"].names == NAMES


def test_cifar100_has_two_labels(tmp_path):
    (content,) = cifar_archives("cifar100").values()
    builder, found = records("cifar100", content, "test", 12, tmp_path)
    for (_, example), row in zip(found, rows(content, "cifar-100-binary/test.bin"), strict=True):
        assert [example["coarse_label"], example["label"]] == row[:2].tolist()
    assert builder.info.features["coarse_label"].names[3] == "class 3"


@pytest.mark.parametrize("count", [11, 13])
def test_other_number_of_images(count, tmp_path):
    (content,) = cifar_archives("cifar10").values()
    with pytest.raises(UserError, match=f"it has 12 test images, not {count}"):
        records("cifar10", content, "test", count, tmp_path)


def test_label_without_a_class(tmp_path):
    (content,) = cifar_archives("cifar10", labels=256).values()
    with pytest.raises(UserError, match="it has a label .*, but the set has 10 classes"):
        records("cifar10", content, "test", 12, tmp_path)
