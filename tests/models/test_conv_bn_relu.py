"""The convolution in one pass, against separate layers."""

import re

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from flax_vision.models.conv_bn_relu import conv_bn_relu
from flax_vision.models.layers import BatchNorm, Conv


class Layers(nn.Module):
    """A convolution, its normalization, a residual and the ReLU."""

    is_separate: bool = False
    train: bool = False
    relu: bool = True
    has_residual: bool = True
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, maps):
        conv = Conv(
            5, 3, stride=2, padding=1, use_bias=self.use_bias, dtype=self.dtype, name="conv"
        )
        norm = BatchNorm(not self.train, epsilon=1e-3, dtype=self.dtype, name="bn")
        if not self.is_separate:
            residual = maps if self.has_residual else None
            return conv_bn_relu(x, conv, norm, residual, self.relu)
        y = norm(conv(x)) + (maps if self.has_residual else 0)
        return nn.relu(y) if self.relu else y


IMAGES, MAPS = (
    np.random.default_rng(seed).standard_normal(shape, np.float32)
    for seed, shape in enumerate([(2, 7, 7, 3), (2, 4, 4, 5)])
)


@pytest.fixture(scope="module")
def variables():
    """Random variables with positive variances."""
    shapes = jax.eval_shape(Layers().init, jax.random.key(0), IMAGES, MAPS)
    random = np.random.default_rng(2)
    return jax.tree.map(lambda x: jnp.asarray(random.uniform(0.5, 2, x.shape), x.dtype), shapes)


@pytest.mark.parametrize(
    "settings", [{}, {"relu": False}, {"has_residual": False}, {"use_bias": False}]
)
def test_one_pass_equals_separate_layers(variables, settings):
    together = Layers(**settings).apply(variables, IMAGES, MAPS)
    separate = Layers(is_separate=True, **settings).apply(variables, IMAGES, MAPS)
    np.testing.assert_allclose(together, separate, atol=1e-5 * abs(separate).max())


def test_evaluation_is_one_convolution(variables):
    program = str(jax.make_jaxpr(Layers().apply)(variables, IMAGES, MAPS))
    assert program.count("flax_vision_convolution_epilogue[") == 1
    assert "relu=True" in program
    assert "max" not in program
    assert not re.search(
        r"f32\[3,3,3,5\] = mul", program
    )  # no product with the kernel, the largest array


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("collection", ["params", "batch_stats"])
def test_gradients_equal_separate_layers(variables, collection, train):
    def gradient(layers):
        def total(tree):
            changed = {**variables, collection: tree}
            y, _ = layers.apply(changed, IMAGES, MAPS, mutable=["batch_stats"])
            return ((y - 1) ** 2).sum()

        return jax.grad(total)(variables[collection])

    close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4 * abs(b).max())  # noqa: E731
    jax.tree.map(
        close, gradient(Layers(train=train)), gradient(Layers(train=train, is_separate=True))
    )


def test_training_normalizes_by_the_batch(variables):
    apply = lambda layers: layers.apply(variables, IMAGES, MAPS, mutable=["batch_stats"])  # noqa: E731
    together, separate = apply(Layers(train=True)), apply(Layers(train=True, is_separate=True))
    jax.tree.map(np.testing.assert_array_equal, together, separate)
    assert "optimization_barrier" in str(
        jax.make_jaxpr(apply, static_argnums=0)(Layers(train=True))
    )


def test_half_precision(variables):
    y = Layers(dtype=jnp.bfloat16).apply(variables, IMAGES, MAPS.astype(jnp.bfloat16))
    exact = Layers().apply(variables, IMAGES, MAPS)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), exact, atol=0.02 * abs(exact).max())


def test_half_precision_rounds_the_scaled_kernel_once(variables):
    """The kernel is scaled in float32, and only the product is rounded."""
    apply = jax.make_jaxpr(Layers(dtype=jnp.bfloat16).apply)
    program = str(apply(variables, IMAGES, MAPS.astype(jnp.bfloat16)))
    assert re.search(r"f32\[3,3,3,5\] = mul", program)
    assert not re.search(r"bf16\[3,3,3,5\] = mul", program)


def test_both_layers_have_their_parameters(variables):
    assert set(variables["params"]) == {"conv", "bn"}
    assert set(variables["params"]["conv"]) == {"kernel", "bias"}


@pytest.mark.parametrize("collection", ["params", "batch_stats"])
def test_error_names_what_is_missing(variables, collection):
    rest = {name: tree for name, tree in variables.items() if name != collection}
    with pytest.raises(flax.errors.FlaxError, match=r"kernel|mean"):
        Layers().apply(rest, IMAGES, MAPS)
