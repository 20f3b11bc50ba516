"""GoogLeNet of naive inception modules, against figure 2a of its paper and an own computation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import abstract_intermediates, abstract_variables, quick_key, rows_of
from flax import linen as nn

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models.catalog import CATALOG
from flax_vision.models.inception import NaiveInception
from flax_vision.models.layers import Conv

# Table 1: kernels of 1x1, 3x3 and 5x5, and the side of the maps.
MODULES = {
    "3a": (64, 128, 32, 28),
    "3b": (128, 192, 96, 28),
    "4a": (192, 208, 48, 14),
    "4b": (160, 224, 64, 14),
    "4c": (128, 256, 64, 14),
    "4d": (112, 288, 64, 14),
    "4e": (256, 320, 128, 14),
    "5a": (256, 320, 128, 7),
    "5b": (384, 384, 128, 7),
}
STEM = 9_472 + 4_160 + 110_784, 118_013_952 + 12_845_056 + 346_816_512
"""Parameters and multiply-adds of the layers before 3a."""


def module_costs():
    """Returns the channels after each module, its parameters and its multiply-adds."""
    channels, costs = 192, {}
    for name, (one, three, five, side) in MODULES.items():
        weights = channels * (one + 9 * three + 25 * five)
        costs[name] = weights + one + three + five, weights * side**2
        channels += one + three + five  # the pool passes every channel on
        costs[name] = (channels, *costs[name])
    return costs


def test_channels_grow_from_module_to_module():
    channels = {name: cost[0] for name, cost in module_costs().items()}
    assert list(channels.values()) == [416, 832, 1280, 1728, 2176, 2640, 3344, 4048, 4944]
    shapes = abstract_intermediates("googlenet", inception="naive")
    for name, (*_, side) in MODULES.items():
        assert shapes[name] == (side, side, channels[name])
    assert shapes["pool5"] == (1, 1, 4944)


@pytest.mark.parametrize("module", MODULES)
def test_costs_of_a_module(module):
    row = rows_of("googlenet", inception="naive")[f"inception_{module}"]
    assert (row.output[-1], row.parameters, row.multiply_adds) == module_costs()[module]


def test_costs_of_the_model():
    rows = [row for row in rows_of("googlenet", inception="naive").values() if not row.is_auxiliary]
    costs = list(module_costs().values())
    linear = 4944 * 1000
    parameters = STEM[0] + sum(cost[1] for cost in costs) + linear + 1000
    multiply_adds = STEM[1] + sum(cost[2] for cost in costs) + linear
    assert sum(row.parameters for row in rows) == parameters == 97_526_008
    assert sum(row.multiply_adds for row in rows) == multiply_adds == 12_568_061_056
    assert 7 < multiply_adds / CATALOG["googlenet"].multiply_adds < 8


def test_heads_see_the_wide_maps():
    params = abstract_variables("googlenet", inception="naive")["params"]
    for name, channels in (("4a", 1280), ("4d", 2640)):
        assert params[f"auxiliary_{name}"]["conv"]["kernel"].shape == (1, 1, channels, 128)
        assert set(params[f"inception_{name}"]) == {"conv1x1", "conv3x3", "conv5x5"}


def test_row_of_the_summary():
    row = rows_of("googlenet", inception="naive")["inception_3a"]
    assert row.kernels == ("1x1 64, 3x3 128, 5x5 32, max pool 3x3",)


@pytest.mark.slow
def test_order_of_the_branches():
    """Convolutions see the input itself, and the pooled input comes last and unchanged."""

    def unit(x, kernels, size, *, name, padding="VALID"):
        return nn.relu(Conv(kernels, size, padding=padding, name=name)(x))

    module = NaiveInception((2, 9, 3, 9, 4, 9), 5, unit)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 6, 7, 5), np.float32))
    variables = jax.jit(module.init)(quick_key(), x)
    y = np.asarray(jax.jit(module.apply)(variables, x))
    assert y.shape == (1, 6, 7, 2 + 3 + 4 + 5)
    kernels = [
        variables["params"][name]["kernel"].shape for name in ("conv1x1", "conv3x3", "conv5x5")
    ]
    assert kernels == [(1, 1, 5, 2), (3, 3, 5, 3), (5, 5, 5, 4)]
    kernel = np.asarray(variables["params"]["conv1x1"]["kernel"])[0, 0]
    np.testing.assert_allclose(y[..., :2], np.maximum(x @ kernel, 0), atol=1e-6)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    np.testing.assert_array_equal(y[..., 9:], windows.max(axis=(-1, -2)))


def test_torchvisions_modules_have_reductions():
    with pytest.raises(UserError, match="unknown option of googlenet_torchvision 'inception'"):
        fv.create_model("googlenet_torchvision", inception="naive")
    with pytest.raises(UserError, match=r"unknown inception of googlenet 'full'.*naive, reduced"):
        fv.create_model("googlenet", inception="full")
