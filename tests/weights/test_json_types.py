from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from flax_vision.weights.json_types import to_dataclass


@dataclass(frozen=True)
class Inner:
    kind: Literal["a", "b"]


@dataclass(frozen=True)
class Outer:
    pair: tuple[int, float]
    more: tuple[float, ...]
    texts: Mapping[str, Sequence[str]]
    inner: Inner | None
    is_on: bool
    any_value: Any


VALUES = {
    **{"pair": [1, 2.5], "more": [1, 2.5, 3], "texts": {"x": ["y"]}, "inner": {"kind": "a"}},
    **{"is_on": True, "any_value": [None]},
}


def test_values_become_those_of_the_fields():
    expected = Outer((1, 2.5), (1, 2.5, 3), {"x": ["y"]}, Inner("a"), True, [None])
    assert to_dataclass(VALUES, Outer, "it") == expected
    assert to_dataclass(VALUES | {"inner": None}, Outer, "it").inner is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"texts": {"\n": "y"}}, r"it.texts\['\\n'\] is 'y', not a list"),
        ({"pair": [1]}, r"it.pair is \[1\], not a list of 2"),
        ({"pair": [1.0, 2.5]}, r"it.pair\[0\] is 1.0, not a whole number below 16384"),
        ({"more": [True]}, r"it.more\[0\] is True, not a finite number"),
        ({"texts": {"x": "y"}}, r"it.texts\['x'\] is 'y', not a list"),
        ({"inner": {"kind": "c"}}, "it.inner.kind is 'c', not one of 'a', 'b'"),
        ({"inner": {}}, "it.inner has no 'kind'"),
        ({"is_on": 1}, "it.is_on is 1, not true or false"),
        ({"other": 1}, "it has an unknown 'other'"),
    ],
)
def test_other_types_are_named(changed, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        to_dataclass(VALUES | changed, Outer, "it")
