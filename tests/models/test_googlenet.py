"""GoogLeNet against table 1 and section 5 of its paper."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import (
    abstract_apply,
    abstract_images,
    abstract_intermediates,
    abstract_variables,
    count,
    initial_params,
    quick_key,
    rows_of,
)
from flax import linen as nn

import flax_vision as fv
from flax_vision.models.googlenet import AuxiliaryHead
from flax_vision.models.layers import AveragePool, normal

# Module, output, parameters with biases, multiply-adds in millions as printed in table 1; the
# parameters that it prints follow from its own columns in few rows, nor do the 54M of 5a.
MODULES = [
    ("3a", (28, 28, 256), 163_696, 128),
    ("3b", (28, 28, 480), 388_736, 304),
    ("4a", (14, 14, 512), 376_176, 73),
    ("4b", (14, 14, 512), 449_160, 88),
    ("4c", (14, 14, 512), 510_104, 100),
    ("4d", (14, 14, 528), 605_376, 119),
    ("4e", (14, 14, 832), 868_352, 170),
    ("5a", (7, 7, 832), 1_043_456, None),
    ("5b", (7, 7, 1024), 1_444_080, 71),
]
STEM = {
    "relu1": (112, 112, 64),
    "pool1": (56, 56, 64),
    "norm1": (56, 56, 64),
    "relu2": (56, 56, 192),
    "norm2": (56, 56, 192),
    "pool2": (28, 28, 192),
}
POOLS = {"pool3": (14, 14, 480), "pool4": (7, 7, 832), "pool5": (1, 1, 1024)}


@pytest.mark.parametrize(("module", "output", "parameters", "millions"), MODULES)
def test_inception_module(module, output, parameters, millions):
    row = rows_of("googlenet")[f"inception_{module}"]
    assert row.output == abstract_intermediates("googlenet")[module] == output
    assert row.parameters == parameters
    if millions:
        assert abs(row.multiply_adds / 1e6 - millions) < 1


def test_stem_pools_and_classifier():
    shapes, rows = abstract_intermediates("googlenet"), rows_of("googlenet")
    assert {key: shapes[key] for key in STEM | POOLS} == STEM | POOLS
    assert (rows["conv1"].parameters, rows["conv1"].multiply_adds) == (9_472, 118_013_952)
    second = rows["conv2_reduce"], rows["conv2"]
    assert sum(row.parameters for row in second) == 114_944
    assert round(sum(row.multiply_adds for row in second) / 1e6) == 360
    assert (rows["linear"].parameters, rows["linear"].multiply_adds) == (1_025_000, 1_024_000)
    assert rows["dropout"].kernels == ("40%",)


def test_order_of_the_layers():
    layers = list(rows_of("googlenet"))
    assert [layer.removeprefix("inception_") for layer in layers if "_" in layer] == [
        *("conv2_reduce", "3a", "3b", "4a", "auxiliary_4a", "4b", "4c", "4d", "auxiliary_4d"),
        *("4e", "5a", "5b"),
    ]


def test_names_of_the_intermediates():
    modules = {module for module, *_ in MODULES}
    assert set(abstract_intermediates("googlenet")) == {*STEM, *POOLS, *modules, "aux1", "aux2"}


@pytest.mark.parametrize(
    ("head", "inputs", "parameters"), [("4a", 512, 3_188_840), ("4d", 528, 3_190_888)]
)
def test_auxiliary_head(head, inputs, parameters):
    params = abstract_variables("googlenet")["params"][f"auxiliary_{head}"]
    assert count(params) == parameters
    chex.assert_shape(params["conv"]["kernel"], (1, 1, inputs, 128))
    chex.assert_shape(params["fc"]["kernel"], (4, 4, 128, 1024))
    chex.assert_shape(params["linear"]["kernel"], (1024, 1000))
    assert "average pool 5x5/3" in rows_of("googlenet")[f"auxiliary_{head}"].kernels[0]
    assert "70%" in rows_of("googlenet")[f"auxiliary_{head}"].kernels[0]


@pytest.mark.parametrize(
    ("name", "options", "total"),
    [
        ("googlenet", {}, 13_378_280),
        ("googlenet", {"auxiliary_heads": False}, 6_998_552),
        ("googlenet", {"auxiliary_heads": False, "stem": "separable"}, 6_991_856),
        ("googlenet_bn", {"num_classes": 10}, 5_998_362),
        # 57 convolutions lose their biases, one a kernel.
        ("googlenet_bn", {"num_classes": 10, "conv_bias": False}, 5_998_362 - 7_280),
        ("googlenet_torchvision", {}, 13_004_888),
        ("googlenet_torchvision", {"auxiliary_heads": False}, 6_624_904),
    ],
)
def test_totals(name, options, total):
    assert count(abstract_variables(name, **options)["params"]) == total


def test_the_main_network_has_57_convolutions_and_1_58_billion_multiply_adds():
    params = abstract_variables("googlenet", auxiliary_heads=False)["params"]
    kernels = [x for x in jax.tree.leaves(params) if x.ndim == 4]
    assert len(kernels) == 57
    main = rows_of("googlenet", auxiliary_heads=False).values()
    assert sum(row.multiply_adds for row in main) == 1_582_671_872


def test_separable_stem_has_the_numbers_of_table_1():
    params = abstract_variables("googlenet", stem="separable")["params"]
    kernels = count(params["conv1_depthwise"]) + params["conv1"]["kernel"].size
    assert kernels == 2_712
    rows = rows_of("googlenet", stem="separable")
    operations = rows["conv1_depthwise"].multiply_adds + rows["conv1"].multiply_adds
    assert round(operations / 1e6) == 34


def test_separable_stem_takes_any_number_of_channels():
    model = fv.create_model("googlenet", stem="separable")
    images = jax.ShapeDtypeStruct((1, 224, 224, 4), "float32")
    params = jax.eval_shape(model.init, quick_key(), images)["params"]
    chex.assert_shape(params["conv1_depthwise"]["kernel"], (7, 7, 1, 32))


def test_torchvisions_5x5_branch_is_3x3():
    chex.assert_shape(
        [
            abstract_variables(name)["params"]["inception_3a"]["conv5x5"]["kernel"]
            for name in ("googlenet", "googlenet_bn", "googlenet_torchvision")
        ],
        [(5, 5, 16, 32), (5, 5, 16, 32), (3, 3, 16, 32)],
    )


@pytest.mark.parametrize("name", ["googlenet", "googlenet_torchvision"])
def test_logits_of_the_heads(name):
    shapes = abstract_intermediates(name, num_classes=4)
    assert shapes["aux1"] == shapes["aux2"] == (4,)
    assert "aux1" not in abstract_intermediates(name, auxiliary_heads=False)


@pytest.mark.parametrize(
    ("name", "options", "smallest"),
    [
        ("googlenet", {}, 65),
        ("googlenet", {"padding": "symmetric"}, 65),
        ("googlenet", {"padding": "caffe"}, 79),
        ("googlenet", {"auxiliary_heads": False}, 1),
        ("googlenet", {"auxiliary_heads": False, "padding": "caffe"}, 31),
        ("googlenet_torchvision", {}, 15),
    ],
)
def test_smallest_image(name, options, smallest):
    shapes = abstract_intermediates(name, size=smallest, **options)
    assert all(min(shape) > 0 for shape in shapes.values())
    if smallest > 1:
        with pytest.raises(ValueError, match=f"at least {smallest}x{smallest}"):
            abstract_variables(name, size=smallest - 1, **options)


def test_smaller_images_are_for_evaluation_without_heads():
    model, variables = fv.create_model("googlenet"), abstract_variables("googlenet")
    small = abstract_images("googlenet", size=32)
    chex.assert_shape(jax.eval_shape(model.apply, variables, small), (1, 1000))
    with pytest.raises(ValueError, match="at least 65x65"):
        abstract_apply(model, variables, small, train=True)


def test_heads_are_convolutions_on_larger_images():
    variables = abstract_variables("googlenet")
    model = fv.create_model("googlenet")
    _, updates = abstract_apply(
        model, variables, abstract_images("googlenet", size=320), train=True
    )
    chex.assert_shape(updates["intermediates"]["aux1"][0], (1, 1000))
    with pytest.raises(ValueError, match="fc was initialized for maps of 4x4.*or larger ones"):
        abstract_apply(model, variables, abstract_images("googlenet", size=160), train=True)


def test_a_head_averages_its_logits_over_larger_images():
    unit = lambda x, *_, **__: x  # noqa: E731
    dropout, settings = partial(nn.Dropout, 0.7, deterministic=True), {"kernel_init": normal(1.0)}
    head = AuxiliaryHead(3, partial(AveragePool, 5, 3), unit, dropout, settings)
    maps = jnp.asarray(np.random.default_rng(0).standard_normal((1, 14, 17, 2), np.float32))
    left, right = maps[:, :, :14], maps[:, :, 3:]
    variables = jax.jit(head.init)(quick_key(), left)
    logits = [jax.jit(head.apply)(variables, x) for x in (maps, left, right)]
    np.testing.assert_allclose(logits[0], (logits[1] + logits[2]) / 2, rtol=1e-4, atol=1e-3)


def test_heads_update_their_statistics_in_training_even_if_their_logits_are_unused():
    variables = abstract_variables("googlenet_torchvision")
    model, images = fv.create_model("googlenet_torchvision"), abstract_images("googlenet")

    def train(variables, images):
        rngs = {"dropout": quick_key()}
        return model.apply(variables, images, train=True, rngs=rngs, mutable=["batch_stats"])[1]

    jaxpr = jax.make_jaxpr(train)(variables, images).jaxpr
    assert len(jaxpr.outvars) == len(jax.tree.leaves(variables["batch_stats"]))
    assert not set(jaxpr.invars) & set(jaxpr.outvars)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("initialization", "bound", "bias"),
    [
        ("caffe", (3 / (25 * 16)) ** 0.5, 0.2),
        ("glorot", (6 / (25 * (16 + 32))) ** 0.5, 0.0),
    ],
)
def test_initialization(initialization, bound, bias):
    layers = ("inception_3a", "linear", "auxiliary_4a")
    params = initial_params("googlenet", 65, *layers, initialization=initialization, num_classes=2)
    branch = params["inception_3a"]["conv5x5"]
    assert 0.99 * bound < np.abs(branch["kernel"]).max() <= bound * (1 + 1e-6)
    assert np.all(branch["bias"] == np.float32(bias))
    assert np.all(params["linear"]["bias"] == 0)
    assert np.all(params["auxiliary_4a"]["fc"]["bias"] == 0)
