import jax
import pytest

from flax_vision.sharding import make_mesh


@pytest.mark.parametrize(
    ("asked", "shape"),
    [
        ({}, {"data": 4, "column": 1}),
        ({"column": 2}, {"data": 2, "column": 2}),
        ({"data": 1}, {"data": 1, "column": 1}),
        ({"data": 2, "column": 1}, {"data": 2, "column": 1}),
    ],
)
def test_shape(asked, shape):
    assert dict(make_mesh(**asked).shape) == shape


def test_all_axes_are_automatic():
    assert set(make_mesh().axis_types) == {jax.sharding.AxisType.Auto}


@pytest.mark.parametrize("asked", [{"data": 4, "column": 2}, {"column": 8}])
def test_too_few_devices(asked):
    with pytest.raises(ValueError, match=r"=8 in the environment emulates them") as error:
        make_mesh(**asked)
    assert "needs 8 devices, and JAX sees 4" in str(error.value)


@pytest.mark.parametrize("axis", ["data", "column"])
def test_an_axis_of_none(axis):
    with pytest.raises(ValueError, match=f"axis '{axis}' is 0"):
        make_mesh(**{axis: 0})
