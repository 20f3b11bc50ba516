import numpy as np
import pytest
from tensorflow_datasets.proto import tf_example_pb2

from flax_vision.data.prepare.tf_example import example_sizes, serialize_example, varint_sizes

NUMBERS = [0, 1, 127, 128, 16_383, 16_384, 2**31 - 1, -1]


def by_protobuf(values):
    example = tf_example_pb2.Example()
    for name, value in values.items():
        feature = example.features.feature[name]
        if isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            encoded = value.encode() if isinstance(value, str) else value
            feature.bytes_list.value.append(encoded)
    return example.SerializeToString(deterministic=True)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("length", [0, 1, 100, 120, 127, 128, 16_250, 16_383, 2_097_140])
def test_bytes_are_those_of_protobuf(number, length):
    values = {"label": number, "image": b"x" * length, "file_name": "n1_2.JPEG"}
    record = serialize_example(values)
    assert record == by_protobuf(values)
    lengths = {"image": length, "file_name": 9, "label": varint_sizes(np.array([number]))}
    assert example_sizes(lengths).tolist() == [len(record)]


def test_sizes_of_many_records():
    images = np.array([5, 200, 70_000])
    labels = varint_sizes(np.array([0, 999, -1]))
    expected = [
        len(serialize_example({"image": bytes(size), "label": label}))
        for size, label in zip(images, [0, 999, -1], strict=True)
    ]
    assert example_sizes({"image": images, "label": labels}).tolist() == expected


def test_texts_are_utf_8():
    assert serialize_example({"id": "é"}) == by_protobuf({"id": "é"})


def test_other_values():
    with pytest.raises(ValueError, match="invalid literal"):
        serialize_example({"label": np.array("x")})
