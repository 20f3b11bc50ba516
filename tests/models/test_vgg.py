"""VGG against table 1 and section 3.2 of its paper."""

import chex
import jax
import numpy as np
import pytest
from abstract import (
    abstract_apply,
    abstract_images,
    abstract_intermediates,
    abstract_variables,
    count,
    initial_params,
    lively_variables,
    rows_of,
)

import flax_vision as fv

# Configuration, parameters of all layers and of the convolutions, multiply-adds (table 2).
TOTALS = [
    ("vgg_a", 132_863_336, 9_220_480, 7_609_090_048),
    ("vgg_a_lrn", 132_863_336, 9_220_480, 7_609_090_048),
    ("vgg_b", 133_047_848, 9_404_992, 11_308_466_176),
    ("vgg_b_5x5", 134_503_528, 10_860_672, 9_356_017_664),
    ("vgg_c", 133_638_952, 9_996_096, 11_770_888_192),
    ("vgg_d", 138_357_544, 14_714_688, 15_470_264_320),
    ("vgg_e", 143_667_240, 20_024_384, 19_632_062_464),
]
# Table 1 again: convolutions of each block, as size and kernels.
BLOCKS = {
    "vgg_a": [[(3, 64)], [(3, 128)], [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2],
    "vgg_b": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2],
    "vgg_b_5x5": [[(5, 64)], [(5, 128)], [(5, 256)], [(5, 512)], [(5, 512)]],
    "vgg_c": [
        [(3, 64)] * 2,
        [(3, 128)] * 2,
        [(3, 256)] * 2 + [(1, 256)],
        [(3, 512)] * 2 + [(1, 512)],
        [(3, 512)] * 2 + [(1, 512)],
    ],
    "vgg_d": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 3, [(3, 512)] * 3, [(3, 512)] * 3],
    "vgg_e": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 4, [(3, 512)] * 4, [(3, 512)] * 4],
}
SIDES = [224, 112, 56, 28, 14]


@pytest.mark.parametrize(("name", "total", "convolutions", "multiply_adds"), TOTALS)
def test_totals(name, total, convolutions, multiply_adds):
    params = abstract_variables(name)["params"]
    assert count(params) == total
    assert count({layer: x for layer, x in params.items() if "conv" in layer}) == convolutions
    assert sum(row.multiply_adds for row in rows_of(name).values()) == multiply_adds
    assert count({layer: x for layer, x in params.items() if "fc" in layer}) == 123_642_856
    if name != "vgg_b_5x5":
        assert round(total / 1e6) == {"c": 134, "d": 138, "e": 144}.get(name[4], 133)


@pytest.mark.parametrize("name", [*BLOCKS, "vgg_a_lrn"])
def test_layers(name):
    rows, shapes, inputs = rows_of(name), abstract_intermediates(name), 3
    for i, (block, side) in enumerate(
        zip(BLOCKS[name.removesuffix("_lrn")], SIDES, strict=True), 1
    ):
        for j, (size, kernels) in enumerate(block, 1):
            row = rows.pop(f"conv{i}_{j}")
            weights = size * size * inputs * kernels
            assert row.output == shapes[f"relu{i}_{j}"] == (side, side, kernels)
            assert (row.parameters, row.multiply_adds) == (weights + kernels, weights * side**2)
            inputs = kernels
        assert shapes[f"pool{i}"] == (side // 2, side // 2, inputs)
    assert not [layer for layer in rows if layer.startswith("conv")]
    assert [rows[fc].parameters for fc in ("fc6", "fc7", "fc8")] == [
        102_764_544,
        16_781_312,
        4_097_000,
    ]
    assert [shapes["relu6"], shapes["relu7"], shapes["scores"]] == [
        (1, 1, 4096),
        (1, 1, 4096),
        (1, 1, 1000),
    ]
    assert ("norm1" in shapes) == (name == "vgg_a_lrn")


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("vgg11_bn", 132_868_840),
        ("vgg13_bn", 133_053_736),
        ("vgg_c_bn", 133_647_400),
        ("vgg16_bn", 138_365_992),
        ("vgg19_bn", 143_678_248),
    ],
)
def test_totals_with_batch_normalization(name, total):
    variables = abstract_variables(name)
    assert count(variables["params"]) == total
    norms = [layer for layer in variables["params"] if layer.startswith("bn")]
    assert set(variables["batch_stats"]) == set(norms)


def test_batch_normalization_once_a_block():
    variables = abstract_variables("vgg_d", batch_norm="block")
    assert count(variables["params"]) == 138_360_488
    chex.assert_shape(
        [variables["params"][f"bn{i}"]["scale"] for i in range(1, 6)],
        [(64,), (128,), (256,), (512,), (512,)],
    )


@pytest.mark.parametrize(
    ("alias", "name"),
    [("vgg11", "vgg_a"), ("vgg13", "vgg_b"), ("vgg16", "vgg_d"), ("vgg19", "vgg_e")],
)
@pytest.mark.parametrize("form", ["", "_bn"])
def test_aliases(alias, name, form):
    assert fv.create_model(alias + form) == fv.create_model(name + form)


@pytest.mark.parametrize(("side", "map_side"), [(256, 2), (384, 6), (224, 1)])
def test_dense_evaluation_gives_a_map_of_scores(side, map_side):
    variables = abstract_variables("vgg_d")
    model = fv.create_model("vgg_d", fully_convolutional=True)
    logits, state = abstract_apply(model, variables, abstract_images("vgg_d", 2, side))
    chex.assert_shape(state["intermediates"]["scores"][0], (2, map_side, map_side, 1000))
    chex.assert_shape(logits, (2, 1000))


@pytest.mark.slow
def test_fully_convolutional_network_is_the_ordinary_one():
    ordinary = fv.create_model("vgg_a", num_classes=3)
    dense = fv.create_model("vgg_a", num_classes=3, fully_convolutional=True)
    images = np.random.default_rng(0).standard_normal((1, 64, 96, 3), np.float32)
    left = images[:, :, :64]
    variables = jax.device_put(lively_variables(ordinary, left))
    apply = jax.jit(lambda v, x: dense.apply(v, x, mutable=["intermediates"]))
    np.testing.assert_allclose(
        apply(variables, left)[0], jax.jit(ordinary.apply)(variables, left), rtol=1e-4, atol=1e-6
    )
    logits, state = apply(variables, images)
    scores = state["intermediates"]["scores"][0]
    chex.assert_shape(scores, (1, 1, 2, 3))
    np.testing.assert_allclose(logits, scores.mean(axis=(1, 2)), rtol=1e-6)


def test_error_for_another_size_than_at_init():
    message = "fc6 was initialized for maps of 7x7, .* maps of 8x8.*fully_convolutional=True"
    with pytest.raises(ValueError, match=message):
        abstract_apply(
            fv.create_model("vgg_d"),
            abstract_variables("vgg_d"),
            abstract_images("vgg_d", size=256),
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("initialization", "std"),
    [
        ("glorot", (2 / (9 * 192)) ** 0.5),
        ("he", (2 / (9 * 64)) ** 0.5),
        ("paper", 0.1),
        ("normal_0.01", 0.01),
    ],
)
def test_initialization(initialization, std):
    params = initial_params("vgg_a", 32, "conv2_1", "fc8", initialization=initialization)
    assert np.std(params["conv2_1"]["kernel"]) == pytest.approx(std, rel=0.02)
    assert all(np.all(layer["bias"] == 0) for layer in params.values())
