import jax
import pytest

from flax_vision.profiling import OUTSIDE, Profile, profile


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


@pytest.mark.parametrize(
    ("place", "layer", "operation", "direction"),
    [
        ("jit(f)/jvp(VGG)/VGG._block/conv1_1/add", "conv1_1", "add", "forward"),
        ("jit(f)/transpose(jvp(VGG))/VGG._block/conv1_1/add", "conv1_1", "add", "backward"),
        ("jit(f)/VGG/conv2/bn/mul", "conv2", "mul", "forward"),
        ("jit(f)/jvp(VGG)/jit(relu)/max", "(between layers)", "max", "forward"),
        ("jit(f)/mul", OUTSIDE, "mul", "forward"),
        ("copy.12", OUTSIDE, "copy", "forward"),
    ],
)
def test_places(place, layer, operation, direction):
    result = Profile()
    result.add(place, "VGG", 2.0, 1.0)
    assert set(result.layers) == {layer}
    assert set(result.operations) == {operation}
    assert getattr(result.layers[layer], direction) == 2.0
    assert result.layers[layer].total == 2.0
