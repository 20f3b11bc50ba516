import jax
import pytest

from flax_vision.analysis.hlo_scopes import OUTSIDE
from flax_vision.analysis.profiler import Profile, profile


@pytest.fixture(scope="module")
def of_training():
    with jax.default_prng_impl("unsafe_rbg"):  # compiles at once
        return profile("lenet5_modern", "training", 16, None, {}, steps=2)


def test_every_layer_has_its_time(of_training):
    assert {"C1", "C3", "C5", "F6", "OUT", OUTSIDE} <= set(of_training.layers)
    for layer in ("C1", "C3"):
        assert of_training.layers[layer].forward > 0
        assert of_training.layers[layer].backward > 0


def test_both_tables_have_the_same_sum(of_training):
    sums = [
        sum(time.total for time in table.values())
        for table in (of_training.layers, of_training.operations)
    ]
    assert sums[0] == pytest.approx(sums[1])


def test_inference_has_no_backward_pass():
    of_inference = profile("lenet5_modern", "inference", 16, None, {}, steps=2)
    assert all(time.backward == 0 for time in of_inference.layers.values())


def test_times_are_added_by_layer_by_operation_and_by_direction():
    result = Profile()
    result.add("jit(f)/jvp(VGG)/conv1/add", "VGG", 2.0, 1.0)
    result.add("jit(f)/transpose(jvp(VGG))/conv1/mul", "VGG", 3.0, 1.0)
    assert (result.layers["conv1"].forward, result.layers["conv1"].backward) == (2.0, 3.0)
    assert result.layers["conv1"].total == 5.0
    assert {name: time.total for name, time in result.operations.items()} == {
        "add": 2.0,
        "mul": 3.0,
    }
