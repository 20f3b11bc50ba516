"""TensorFlow's `Example` records in the encoding of Protocol Buffers.

The encoder of protobuf writes the features in an order that differs between processes. Here they
are sorted by name, so the records are reproducible. Readers accept any order.
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

_FIELD_1 = b"\x0a"
"""Tag of field 1 with a length: the list, the features or the key of a message."""

_ENTRY_VALUE = b"\x12"
"""Tag of the value in an entry of the map of features."""

_INT64_LIST = b"\x1a"
"""Tag of a feature's list of integers."""

_MAX_VARINT = 10
"""Longest varint, in bytes; all negative numbers have this length."""


def serialize_example(values: Mapping[str, Any]) -> bytes:
    r"""Returns an `Example` with one value a feature.

    Args:
      values: Bytes, texts or integers by the name of the feature.

    >>> serialize_example({"label": 3})
    b'\\n\\x10\\n\\x0e\\n\\x05label\\x12\\x05\\x1a\\x03\\n\\x01\\x03'
    """
    pieces: list[bytes | memoryview] = []
    for name in sorted(values):
        pieces += _entry(name, values[name])
    begin = _field(_FIELD_1, sum(map(len, pieces)))
    return b"".join([begin, *pieces])


def example_sizes(lengths: Mapping[str, Any]) -> np.ndarray:
    """Returns the sizes of the records that `serialize_example` would write.

    Args:
      lengths: Bytes of each feature's values, int or [N]; for integers, their `varint_sizes`.

    Returns:
      Bytes of the records, int64 [N].
    """
    total = np.int64(0)
    for name, length in lengths.items():
        feature = _message_sizes(_message_sizes(np.asarray(length, np.int64)))
        key = _message_sizes(np.int64(len(name.encode())))
        total = total + _message_sizes(key + _message_sizes(feature))
    return np.asarray(_message_sizes(total))


def varint_sizes(numbers: np.ndarray) -> np.ndarray:
    """Returns the bytes of each number as a varint, int64 of the same shape."""
    sizes = 1 + sum(numbers >= (1 << 7 * i) for i in range(1, _MAX_VARINT - 1))
    return np.where(numbers < 0, _MAX_VARINT, sizes).astype(np.int64)


def _message_sizes(lengths: Any) -> Any:
    """Returns the sizes of fields with contents of the given lengths."""
    return 1 + varint_sizes(np.asarray(lengths)) + lengths


def _entry(name: str, value: Any) -> list[bytes | memoryview]:
    """Returns an entry of the map of features in two pieces, to avoid a copy of the image."""
    tag, content = _feature(value)
    item = _field(_FIELD_1, len(content))
    value_list = _field(tag, len(item) + len(content)) + item
    feature = _field(_ENTRY_VALUE, len(value_list) + len(content)) + value_list
    key = _field(_FIELD_1, len(name.encode())) + name.encode()
    return [_field(_FIELD_1, len(key + feature) + len(content)) + key + feature, content]


def _feature(value: Any) -> tuple[bytes, bytes | memoryview]:
    """Returns the tag of a feature's list, and the content of its item."""
    if isinstance(value, str):
        return _FIELD_1, value.encode()
    if isinstance(value, bytes | memoryview):
        return _FIELD_1, value
    return _INT64_LIST, _varint(int(value) % (1 << 64))


def _field(tag: bytes, length: int) -> bytes:
    """Returns the tag and the length that precede the content of a field."""
    return tag + _varint(length)


@functools.lru_cache(maxsize=1 << 14)
def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
