"""LeNet-1, LeNet-4 and the linear classifier against the counts of section III.C."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import (
    abstract_intermediates,
    abstract_variables,
    count,
    lively_variables,
    quick_key,
)

import flax_vision as fv
from flax_vision.models.lenet_comparison import (
    LENET1_TABLE,
    LENET4_F5_TABLE,
    LENET4_SMALL_TABLE,
    LENET4_TABLE,
)

NAMES = ["lenet1", "lenet4", "lenet_linear"]
# Model, options, layer, its output maps, trainable parameters.
LAYERS = [
    ("lenet1", {}, "C1", (24, 24, 4), 104),
    ("lenet1", {}, "S2", (12, 12, 4), 8),
    ("lenet1", {}, "C3", (8, 8, 12), 512),
    ("lenet1", {}, "S4", (4, 4, 12), 24),
    ("lenet1", {}, "OUT", (1, 1, 10), 1_930),
    ("lenet4", {}, "C1", (28, 28, 4), 104),
    ("lenet4", {}, "S2", (14, 14, 8), 16),
    ("lenet4", {}, "C3", (10, 10, 16), 1_516),
    ("lenet4", {}, "S4", (5, 5, 16), 32),
    ("lenet4", {}, "F5", (1, 1, 120), 14_120),
    ("lenet4", {}, "OUT", (1, 1, 10), 1_210),
    ("lenet4", {"wiring": "full"}, "C3", (10, 10, 16), 1_216),
    ("lenet4", {"wiring": "full"}, "F5", (1, 1, 120), 48_120),
]


@pytest.mark.parametrize(("name", "options", "layer", "maps", "parameters"), LAYERS)
def test_layer(name, options, layer, maps, parameters):
    assert count(abstract_variables(name, **options)["params"][layer]) == parameters
    if layer != "OUT":
        assert abstract_intermediates(name, **options)[layer.lower()] == maps


def connections(name, **options):
    """Counts the inputs and the bias of each unit; a kernel is used once at each pixel."""
    total = 0
    for model, given, layer, maps, parameters in LAYERS:
        matching = [row for row in LAYERS if row[:3] == (name, options, layer)]
        if model != name or (given != options and (given or matching)):
            continue
        pixels = maps[0] * maps[1]
        # A unit of S2 and S4 adds four pixels and a bias.
        total += pixels * (maps[2] * 5 if layer.startswith("S") else parameters)
    return total


def test_lenet1_has_the_counts_of_1989():
    assert count(abstract_variables("lenet1")) == 2_578 == pytest.approx(2_600, rel=0.01)
    assert connections("lenet1") == 98_442 == pytest.approx(100_000, rel=0.02)
    # 4,635 units with the one that gives the biases.
    units = [np.prod(shape) for shape in abstract_intermediates("lenet1").values()]
    assert 28 * 28 + sum(units) + 10 + 1 == 4_635


def test_lenet4_has_about_the_papers_counts():
    parameters = count(abstract_variables("lenet4"))
    assert (parameters, connections("lenet4")) == (16_998, 258_306)
    assert parameters == pytest.approx(17_000, rel=0.01)
    assert connections("lenet4") == pytest.approx(260_000, rel=0.01)


def test_lenet4_with_a_fully_connected_layer_has_about_the_papers_connections():
    assert count(abstract_variables("lenet4", wiring="full")) == 50_698
    found = connections("lenet4", wiring="full")
    assert found == 262_306
    assert found == pytest.approx(260_000, rel=0.01)


def test_linear_classifier_has_the_papers_parameters():
    assert count(abstract_variables("lenet_linear")) == 7_850


def test_table_of_lenet1_is_two_groups_of_six_maps():
    columns = [np.flatnonzero(column).tolist() for column in LENET1_TABLE.T]
    group = [[0], [0, 1], [0, 1], [1], [0, 1], [0, 1]]
    assert columns == group + [[i + 2 for i in own] for own in group]
    assert LENET1_TABLE.sum() == 20


@pytest.mark.parametrize(
    ("table", "links", "sizes"),
    [
        (LENET4_TABLE, 60, {3, 4}),
        (LENET4_SMALL_TABLE, 48, {3}),
        (LENET4_F5_TABLE, 560, {4, 5}),
    ],
)
def test_tables_of_lenet4_use_every_map_about_equally_often(table, links, sizes):
    assert table.sum() == links
    assert set(table.sum(axis=0)) == sizes
    uses = table.sum(axis=1)
    assert uses.max() - uses.min() <= uses.mean() / 4
    assert len({tuple(column) for column in table.T}) == table.shape[1]  # all differ


def test_each_map_of_lenet4_has_two_subsampling_maps():
    model = fv.create_model("lenet4")
    images = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    variables = lively_variables(model, images)
    variables["params"]["S2"]["coefficient"] += 0.1
    changed = jax.tree.map(np.array, variables)
    changed["params"]["C1"]["bias"][1] += 1
    apply = partial(model.apply, mutable=["intermediates"])
    s2 = jax.jit(lambda v: apply(v, images)[1]["intermediates"]["s2"][0])
    differs = np.any(np.asarray(s2(variables) != s2(changed)), axis=(0, 1, 2))
    assert np.flatnonzero(differs).tolist() == [2, 3]


def test_linear_classifier_is_a_product():
    model, images = fv.create_model("lenet_linear"), jax.random.uniform(quick_key(), (3, 5, 4, 1))
    kernel = jax.random.normal(quick_key(1), (20, 10))
    params = {"OUT": {"kernel": kernel, "bias": jnp.arange(10.0)}}
    expected = np.asarray(images).reshape(3, 20) @ np.asarray(kernel) + np.arange(10)
    np.testing.assert_allclose(model.apply({"params": params}, images), expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3, 28, 28, 1), (3, 20, 27, 3)])
def test_smaller_images_and_other_channels(name, shape):
    init = fv.create_model(name, num_classes=7, dtype=jnp.bfloat16).init_with_output
    logits, variables = jax.eval_shape(init, quick_key(), jnp.zeros(shape))
    chex.assert_shape(logits, (3, 7))
    chex.assert_type([logits, *jax.tree.leaves(variables)], jnp.float32)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("lenet1", 29, "29x29; LeNet-1 takes at most 28x28"),
        ("lenet4", 33, "33x33; LeNet-4 takes at most 32x32"),
    ],
)
def test_errors_for_large_images(name, size, message):
    with pytest.raises(ValueError, match=message):
        fv.create_model(name).init(quick_key(), jnp.zeros((1, size, size, 1)))
