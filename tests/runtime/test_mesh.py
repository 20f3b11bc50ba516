import jax
import pytest

from flax_vision.runtime.mesh import make_mesh


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


@pytest.mark.parametrize(
    ("processes", "variable", "advice"),
    [
        (2, None, "XLA_FLAGS=--xla_force_host_platform_device_count=4 in the environment of each"),
        (3, None, "device_count=3 in the environment of each of the 3 processes"),
        (1, "4", "; JAX_NUM_CPU_DEVICES=8 in the environment emulates"),
    ],
)
def test_too_few_devices_are_emulated_by_each_process(processes, variable, advice, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    if variable:
        monkeypatch.setenv("JAX_NUM_CPU_DEVICES", variable)
    with pytest.raises(ValueError, match=advice):
        make_mesh(data=8)


@pytest.mark.parametrize("axis", ["data", "column"])
def test_an_axis_of_none(axis):
    with pytest.raises(ValueError, match=f"axis '{axis}' is 0"):
        make_mesh(**{axis: 0})
