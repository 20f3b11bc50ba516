"""LeNet-5 against section II.B of its paper: every layer, table I, figure 3, the initialization."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import count, quick_key

import flax_vision as fv
from flax_vision.models.lenet import (
    TABLE_I,
    LeNet5,
    PartialConvolution,
    Subsampling,
    pad_to_field,
    scaled_tanh,
)
from flax_vision.models.lenet_codes import digit_codes, random_codes

# Layer, output, trainable parameters, connections (section II.B).
LAYERS = [
    ("C1", (28, 28, 6), 156, 122_304),
    ("S2", (14, 14, 6), 12, 5_880),
    ("C3", (10, 10, 16), 1_516, 151_600),
    ("S4", (5, 5, 16), 32, 2_000),
    ("C5", (1, 1, 120), 48_120, 48_120),
    ("F6", (84,), 10_164, 10_164),
]
IMAGES = jax.random.uniform(quick_key(7), (2, 28, 28, 1), minval=-0.1, maxval=1.175)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(fv.create_model("lenet5").init)(quick_key(), IMAGES)


@pytest.fixture(scope="module")
def outputs(variables):
    """Outputs of every layer, the padded input first."""
    apply = jax.jit(partial(fv.create_model("lenet5").apply, mutable=["intermediates"]))
    logits, updates = apply(variables, IMAGES)
    layers = {layer: updates["intermediates"][layer.lower()][0] for layer, *_ in LAYERS}
    return {"INPUT": pad_to_field(IMAGES, -0.1), **layers, "OUT": -logits}


def links(layer: str, outputs, variables) -> int:
    """Counts the pairs of an input and a unit that influence each other, and the biases."""
    names = list(outputs)
    x = outputs[names[names.index(layer) - 1]][:1]
    params = variables["params"][layer]

    def units(x):
        if layer.startswith("S"):
            return Subsampling().apply({"params": params}, x)
        if layer == "C3":
            return PartialConvolution(TABLE_I).apply({"params": params}, x)
        if layer == "F6":
            return x.reshape(1, -1) @ params["kernel"]
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, params["kernel"], (1, 1), "VALID", dimension_numbers=numbers
        )

    shape = jax.eval_shape(units, x)
    jacobian = jax.jit(jax.jacrev(lambda x: units(x).ravel()))(x)
    return int(jnp.count_nonzero(jacobian)) + shape.size


@pytest.mark.parametrize(("layer", "shape", "parameters", "connections"), LAYERS)
def test_layer_has_the_papers_shape_parameters_and_connections(
    layer, shape, parameters, connections, variables, outputs
):
    chex.assert_shape(outputs[layer], (2, *shape))
    assert count(variables["params"][layer]) == parameters
    assert links(layer, outputs, variables) == connections


def test_totals(variables):
    assert count(variables) == 60_000
    rbf = 84 * 10
    assert sum(connections for *_, connections in LAYERS) + rbf == 340_908


def test_modern_totals():
    init = fv.create_model("lenet5_modern").init
    variables = jax.eval_shape(init, quick_key(), IMAGES)
    assert count(variables) == 61_706
    assert count(variables["params"]["C3"]) == 2_416


def test_table_i_has_the_papers_columns():
    columns = [set(np.flatnonzero(column).tolist()) for column in TABLE_I.T]
    threes = [{i % 6, (i + 1) % 6, (i + 2) % 6} for i in range(6)]
    fours = [{i % 6, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6} for i in range(6)]
    # The last three maps of four take two neighbors twice, the last of all takes every map.
    apart = [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}]
    assert columns == [*threes, *fours, *apart, set(range(6))]
    assert TABLE_I.sum() == 60
    assert TABLE_I.sum(axis=1).tolist() == [10] * 6


def test_c3_depends_only_on_the_maps_of_table_i(variables, outputs):
    params = {"params": variables["params"]["C3"]}
    before = PartialConvolution(TABLE_I).apply(params, outputs["S2"])
    for source in range(6):
        changed = outputs["S2"].at[..., source].add(1.0)
        after = PartialConvolution(TABLE_I).apply(params, changed)
        differs = np.any(np.asarray(after != before), axis=(0, 1, 2))
        np.testing.assert_array_equal(differs, TABLE_I[source])


def test_scaled_tanh():
    np.testing.assert_allclose(
        scaled_tanh(jnp.array([1.0, -1.0])), [0.9999973, -0.9999973], rtol=1e-6
    )
    assert float(scaled_tanh(jnp.float32(100))) == pytest.approx(1.7159)


def test_subsampling_adds_and_multiplies():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1) / 10
    params = {"coefficient": jnp.array([0.5]), "bias": jnp.array([-1.0])}
    y = Subsampling().apply({"params": params}, x)
    sums = np.array([[0 + 1 + 4 + 5, 2 + 3 + 6 + 7], [8 + 9 + 12 + 13, 10 + 11 + 14 + 15]]) / 10
    np.testing.assert_allclose(y[0, :, :, 0], 0.5 * sums - 1, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_initialization_that_keeps_the_variance():
    """Efficient BackProp, section 4.6: a standard deviation of 1 / sqrt(F) in every layer."""
    model = LeNet5(initialization="efficient_backprop")
    params = model.init(quick_key(0), IMAGES)["params"]
    inputs = {"C1": 25, "C5": 400, "F6": 120}
    for layer, fan_in in inputs.items():
        largest = abs(params[layer]["kernel"]).max()
        assert 0.95 * (3 / fan_in) ** 0.5 < largest <= (3 / fan_in) ** 0.5 * (1 + 1e-6)
    assert abs(params["C3"]["kernel"]).max() > 0.95 * (3 / 75) ** 0.5
    assert abs(params["S2"]["coefficient"]).max() <= (3 / 4) ** 0.5


@pytest.mark.parametrize(
    ("layer", "leaf", "bound"),
    [
        ("C1", "kernel", 2.4 / 25),
        ("S2", "coefficient", 2.4 / 4),
        ("S4", "coefficient", 2.4 / 4),
        ("C5", "kernel", 2.4 / 400),
        ("F6", "kernel", 2.4 / 120),
    ],
)
def test_initialization_is_uniform_within_the_papers_bound(layer, leaf, bound, variables):
    weights = np.abs(np.asarray(variables["params"][layer][leaf]))
    assert weights.max() <= bound * (1 + 1e-6)
    assert weights.max() > bound * (0.6 if weights.size < 20 else 0.95)


def test_initialization_of_c3_follows_the_inputs_of_each_map(variables):
    weights = np.asarray(variables["params"]["C3"]["kernel"])
    targets = np.nonzero(TABLE_I)[1]
    for target, inputs in enumerate(TABLE_I.sum(axis=0)):
        largest = np.abs(weights[..., targets == target]).max()
        assert 0.9 * 2.4 / (25 * inputs) < largest <= 2.4 / (25 * inputs) * (1 + 1e-6)


def test_codes_are_those_of_figure_3():
    codes = digit_codes(10)
    chex.assert_shape(codes, (10, 84))
    assert (codes == 1).sum(axis=1).tolist() == [35, 27, 33, 32, 41, 35, 39, 25, 43, 39]
    distances = (codes[:, None] != codes[None]).sum(axis=2)
    pairs = distances[np.triu_indices(10, 1)]
    assert pairs.min() == 12 == distances[6, 8]
    # The first row of the one: ...##..
    assert codes[1, :7].tolist() == [-1, -1, -1, 1, 1, -1, -1]


def test_logits_are_negated_squared_distances(outputs):
    codes = digit_codes(10).astype(np.float32)
    f6 = np.asarray(outputs["F6"])
    expected = ((f6[:, None] - codes[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(outputs["OUT"], expected, rtol=1e-5)


def test_trainable_codes_are_parameters_that_start_at_the_bitmaps():
    model = fv.create_model("lenet5", trainable_codes=True)
    variables = jax.jit(model.init)(quick_key(), IMAGES)
    assert count(variables) == 60_840
    np.testing.assert_array_equal(variables["params"]["OUT"]["codes"], digit_codes(10))


@pytest.mark.slow
def test_more_classes_than_digits_need_random_codes():
    model = fv.create_model("lenet5", num_classes=47)
    with pytest.raises(ValueError, match=r'num_classes is 47.*codes="random"'):
        model.init(quick_key(), IMAGES)
    model = fv.create_model("lenet5", num_classes=47, codes="random")
    logits, _ = jax.eval_shape(model.init_with_output, quick_key(), IMAGES)
    chex.assert_shape(logits, (2, 47))
    assert set(np.unique(random_codes(47))) == {-1, 1}


def test_images_are_padded_with_background():
    field = pad_to_field(jnp.ones((1, 28, 28, 1)), -0.1)
    chex.assert_shape(field, (1, 32, 32, 1))
    total = np.asarray(field, np.float64).sum()
    assert total == pytest.approx(28 * 28 - 0.1 * (32 * 32 - 28 * 28))
    assert bool((field[0, 2:30, 2:30] == 1).all())


@pytest.mark.parametrize("name", fv.list_models("lenet5*"))
@pytest.mark.parametrize("shape", [(3, 32, 32, 1), (3, 28, 28, 1), (3, 20, 27, 3)])
def test_smaller_images_and_other_channels(name, shape):
    init = fv.create_model(name).init_with_output
    logits, _ = jax.eval_shape(init, quick_key(), jnp.zeros(shape))
    chex.assert_shape(logits, (3, 10))
    chex.assert_type(logits, jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", fv.list_models("lenet5*"))
def test_bfloat16_arithmetic_with_float32_parameters(name):
    half = fv.create_model(name, dtype=jnp.bfloat16)
    logits, variables = jax.jit(half.init_with_output)(quick_key(), IMAGES)
    chex.assert_type([logits, *jax.tree.leaves(variables)], jnp.float32)
    full = jax.jit(fv.create_model(name).apply)(variables, IMAGES)
    assert 0 < float(jnp.abs(logits - full).max()) < 0.05 * float(jnp.abs(full).max())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 33, 28, 1), np.float32), "33x28.*at most 32x32"),
        (np.zeros((28, 28, 1), np.float32), r"\[N, H, W, C\].*float32\[28,28,1\]"),
        (np.zeros((1, 28, 28, 1), np.uint8), "floating-point.*uint8"),
    ],
)
def test_errors_for_images(images, message):
    with pytest.raises(ValueError, match=message):
        fv.create_model("lenet5").init(quick_key(), images)
