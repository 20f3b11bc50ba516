import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import hashing

from flax_vision.data.prepare.record_store import KeyHashes, Spool, encoded_example
from flax_vision.data.prepare.tf_example import serialize_example

FEATURES = tfds.features.FeaturesDict(
    {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=(2, 3, 1)),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
    }
)


@pytest.fixture
def spool(tmp_path):
    with (tmp_path / "spool").open("w+b") as file:
        yield Spool(file, "train")


def test_order_is_that_of_the_hashes():
    keys = ["n01440764_18.JPEG", "b", "a", "c"]
    hashes = KeyHashes("train")
    for key in keys:
        hashes.add(key)
    hasher = hashing.Hasher("train")
    expected = sorted(range(4), key=lambda index: hasher.hash_key(keys[index]))
    assert hashes.order().tolist() == expected


def test_each_split_has_an_order_of_its_own():
    orders = []
    for split in ("train", "test"):
        hashes = KeyHashes(split)
        for key in range(20):
            hashes.add(key)
        orders.append(hashes.order().tolist())
    assert orders[0] != orders[1]


def test_equal_keys():
    hashes = KeyHashes("train")
    for key in ("a", "b", "a"):
        hashes.add(key)
    with pytest.raises(ValueError, match="two images have the same name"):
        hashes.order()


def test_no_records():
    assert KeyHashes("train").order().tolist() == []


def test_spool(spool):
    example = {"id": "x", "image": b"PNG", "label": "dog"}
    assert list(spool.fill(FEATURES, iter([(5, example), (6, {**example, "label": 0})]))) == [1, 2]
    assert spool.labels.tolist() == [1, 0]
    assert spool.labels.dtype == np.int32
    records = [serialize_example({**example, "label": label}) for label in (1, 0)]
    assert [spool.read(index) for index in range(2)] == records
    assert spool.sizes.tolist() == [len(record) for record in records]
    spool.prefetch([0, 1])


def test_encoded_example():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    values = encoded_example(FEATURES, {"id": "é", "image": pixels, "label": "dog"})
    assert values["image"].startswith(b"\x89PNG")
    assert (values["id"], values["label"]) == ("é", 1)
