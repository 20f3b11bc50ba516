"""ResNet against tables 1 and 6 of its paper."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import (
    abstract_intermediates,
    abstract_variables,
    count,
    initial_params,
    quick_key,
    rows_of,
)

from flax_vision.models.layers import BatchNorm, Conv
from flax_vision.models.residual import BasicBlock

# Depth, FLOPs of table 1 in billions, multiply-adds, those with stride in the 3x3, parameters of B.
DEPTHS = [
    (18, 1.8, 1_814_073_344, 1_814_073_344, 11_689_512),
    (34, 3.6, 3_663_761_408, 3_663_761_408, 21_797_672),
    (50, 3.8, 3_857_973_248, 4_089_184_256, 25_557_032),
    (101, 7.6, 7_570_194_432, 7_801_405_440, 44_549_160),
    (152, 11.3, 11_282_415_616, 11_513_626_624, 60_192_808),
]
STAGES = {
    18: {"conv2_x": 2, "conv3_x": 2, "conv4_x": 2, "conv5_x": 2},
    34: {"conv2_x": 3, "conv3_x": 4, "conv4_x": 6, "conv5_x": 3},
    50: {"conv2_x": 3, "conv3_x": 4, "conv4_x": 6, "conv5_x": 3},
    101: {"conv2_x": 3, "conv3_x": 4, "conv4_x": 23, "conv5_x": 3},
    152: {"conv2_x": 3, "conv3_x": 8, "conv4_x": 36, "conv5_x": 3},
}
# Depth, parameters with A and with B, multiply-adds in millions, parameters of table 6.
CIFAR = [
    (20, 269_722, 272_474, 40.6, "0.27M"),
    (32, 464_154, 466_906, 68.9, "0.46M"),
    (44, 658_586, 661_338, 97.2, "0.66M"),
    (56, 853_018, 855_770, 125.5, "0.85M"),
    (110, 1_727_962, 1_730_714, 252.9, "1.7M"),
    pytest.param(1202, 19_421_274, 19_424_026, 2829.2, "19.4M", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("depth", "billions", "macs", "macs_v1_5", "parameters"), DEPTHS)
def test_totals(depth, billions, macs, macs_v1_5, parameters):
    for name, expected in ((f"resnet{depth}", macs), (f"resnet{depth}_v1_5", macs_v1_5)):
        rows = rows_of(name).values()
        assert sum(row.multiply_adds for row in rows) == expected
        assert sum(row.parameters for row in rows) == parameters
    # The table drops digits in places where others would round.
    assert abs(macs / 1e9 - billions) < 0.07
    convolutions_and_fc = 2 + sum(STAGES[depth].values()) * (3 if depth >= 50 else 2)
    assert convolutions_and_fc == depth


@pytest.mark.parametrize(
    "depth", [18, 34, 50, *(pytest.param(x, marks=pytest.mark.slow) for x in (101, 152))]
)
def test_stages(depth):
    shapes = abstract_intermediates(f"resnet{depth}")
    wide = 4 if depth >= 50 else 1
    expected = {
        "relu1": (112, 112, 64),
        "pool1": (56, 56, 64),
        "conv2_x": (56, 56, 64 * wide),
        "conv3_x": (28, 28, 128 * wide),
        "conv4_x": (14, 14, 256 * wide),
        "conv5_x": (7, 7, 512 * wide),
        "pool5": (1, 1, 512 * wide),
    }
    assert shapes == expected
    params = abstract_variables(f"resnet{depth}")["params"]
    for stage, blocks in STAGES[depth].items():
        assert len([name for name in params if name.startswith(stage[:-1])]) == blocks
        assert rows_of(f"resnet{depth}")[stage].output == expected[stage]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shortcut", "parameters"),
    [
        ("resnet18", "A", 11_515_688),
        ("resnet18", "C", 12_043_816),
        ("resnet34", "A", 21_623_848),
        ("resnet34", "C", 22_716_840),
        ("resnet50", "A", 22_780_456),
        ("resnet50", "C", 40_128_552),
        ("resnet101", "C", 76_981_288),
        ("resnet152", "C", 107_335_720),
    ],
)
def test_totals_of_the_other_shortcuts(name, shortcut, parameters):
    assert count(abstract_variables(name, shortcut=shortcut)["params"]) == parameters


@pytest.mark.parametrize(("shortcut", "projections"), [("A", 0), ("B", 3), ("C", 16)])
def test_projections_of_34_layers(shortcut, projections):
    params = abstract_variables("resnet34", shortcut=shortcut)["params"]
    blocks = [block for name, block in params.items() if "_" in name]
    assert sum("projection" in block for block in blocks) == projections


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "total_a", "total_b", "millions", "printed"), CIFAR)
def test_cifar_totals(depth, total_a, total_b, millions, printed):
    name = f"resnet{depth}"
    rows = rows_of(name).values()
    assert sum(row.parameters for row in rows) == total_a
    assert sum(row.multiply_adds for row in rows) / 1e6 == pytest.approx(millions, abs=0.06)
    digits = len(printed.partition(".")[2]) - 1
    assert f"{total_a / 1e6:.{digits}f}M" == printed
    assert count(abstract_variables(name, shortcut="B")["params"]) == total_b


def test_cifar_stages():
    shapes = abstract_intermediates("resnet20")
    assert shapes == {
        "relu1": (32, 32, 16),
        "conv2_x": (32, 32, 16),
        "conv3_x": (16, 16, 32),
        "conv4_x": (8, 8, 64),
        "pool5": (1, 1, 64),
    }
    assert abstract_variables("resnet20")["params"]["fc"]["kernel"].shape == (64, 10)


def test_stride_is_in_the_first_1x1_or_in_the_3x3():
    assert rows_of("resnet50")["conv3_x"].kernels[0].startswith("1x1/2 128, 3x3 128, 1x1 512")
    assert rows_of("resnet50_v1_5")["conv3_x"].kernels[0].startswith("1x1 128, 3x3/2 128, 1x1 512")


def test_shortcut_a_takes_every_second_pixel_and_adds_channels_of_zeros():
    norm = lambda **settings: BatchNorm(use_running_average=True, **settings)  # noqa: E731
    block = BasicBlock(6, 2, "A", Conv, norm)
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(1, 5, 4, 3)).astype(np.float32))
    variables = jax.tree.map(jnp.zeros_like, jax.jit(block.init)(quick_key(), x))
    # With every kernel at zero only the shortcut is left.
    y = block.apply(variables, x)
    np.testing.assert_array_equal(y[..., :3], x[:, ::2, ::2])
    np.testing.assert_array_equal(y[..., 3:], 0)


@pytest.mark.parametrize(("stem_pool", "smallest"), [("caffe", 3), ("torch", 1)])
def test_smallest_image(stem_pool, smallest):
    shapes = abstract_intermediates("resnet18", size=smallest, stem_pool=stem_pool)
    assert all(min(shape) > 0 for shape in shapes.values())
    if smallest > 1:
        with pytest.raises(ValueError, match="at least 3x3"):
            abstract_variables("resnet18", size=smallest - 1, stem_pool=stem_pool)


@pytest.mark.parametrize("name", ["resnet20", "resnet18"])
@pytest.mark.parametrize(("initialization", "std"), [("he", 2 / 144), ("glorot", 2 / 288)])
def test_initialization(name, initialization, std):
    params = initial_params(name, 8, "conv2_1", initialization=initialization)
    kernel = params["conv2_1"]["conv1"]["kernel"]
    width = kernel.shape[-1]
    assert np.std(kernel) == pytest.approx((std * 16 / width) ** 0.5, rel=0.05)
    norm = params["conv2_1"]["bn1"]
    chex.assert_trees_all_equal(norm, {"scale": jnp.ones(width), "bias": jnp.zeros(width)})
