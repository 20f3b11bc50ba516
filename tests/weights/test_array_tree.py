import numpy as np
import pytest

from flax_vision.errors import UserError
from flax_vision.weights.array_tree import check_finite, shape_differences


def test_what_agrees_has_no_differences():
    assert shape_differences({"a": (1, 2)}, {"a": (1, 2)}) == ""


def test_three_kinds_of_differences():
    assert shape_differences({"a": (1,), "b": (2, 3)}, {"c": (), "b": (3, 2)}) == (
        "missing: a [1]; surplus: c []; misshapen: b [3, 2] instead of [2, 3]"
    )


def test_of_each_kind_ten_are_named():
    named = ", ".join(f"{number:04} [1]" for number in range(10))
    shapes = {f"{number:04}": (1,) for number in range(1500)}
    assert shape_differences(shapes, {"x": ()}) == f"missing: {named} and 1,490 more; surplus: x []"


def test_infinities_that_cancel_are_not_finite():
    arrays = {"good": np.ones(2, np.float16), "bad": np.array([np.inf, -np.inf], np.float32)}
    with pytest.raises(UserError, match="^not all numbers are finite in bad; mend it.$"):
        check_finite(arrays, "mend it")


def test_large_numbers_are_finite():
    check_finite({"a": np.full(9, 3e38, np.float32), "b": np.full(9, 6e4, np.float16)}, "")
