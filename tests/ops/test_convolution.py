import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_array

from flax_vision.ops.convolution import conv
from flax_vision.ops.cpu import convolution as cpu_convolution

# Size of the kernel, stride, padding, groups; the first four have special forms.
CASES = [
    (1, 1, "VALID", 1),
    (1, 2, "VALID", 1),
    (1, 3, 0, 1),
    (9, 1, "VALID", 1),
    (1, 1, 1, 1),
    (9, 1, 1, 1),
    (3, 2, "SAME", 1),
    (5, 1, 2, 1),
    (3, 2, ((0, 1), (2, 0)), 1),
    (1, 1, "VALID", 2),
    (3, 1, 1, 4),
]


def results(x, kernel, bias, *settings):
    """Computes the convolution and the gradients of a sum with random weights."""

    def everything(x, kernel, bias):
        y, pull_back = jax.vjp(
            lambda x, kernel, bias: conv(x, kernel, *settings, bias=bias), x, kernel, bias
        )
        return y, *pull_back(random_array(2, y.shape))

    return jax.jit(everything)(x, kernel, bias)


def compare_with_reference(use_reference_ops, size, stride, padding, groups):
    x = random_array(0, (2, 9, 9, 4))
    kernel, bias = random_array(1, (size, size, 4 // groups, 8)), random_array(3, (8,))
    fast = results(x, kernel, bias, stride, padding, groups)
    use_reference_ops()
    reference = results(x, kernel, bias, stride, padding, groups)
    for actual, expected in zip(fast, reference, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "stride", "padding", "groups"), CASES)
def test_kernel_equals_reference(size, stride, padding, groups, use_reference_ops):
    compare_with_reference(use_reference_ops, size, stride, padding, groups)


@pytest.mark.parametrize(("size", "stride", "padding", "groups"), CASES)
@pytest.mark.usefixtures("without_onednn")
def test_pure_jax_equals_reference(size, stride, padding, groups, use_reference_ops):
    compare_with_reference(use_reference_ops, size, stride, padding, groups)


def test_cross_correlation():
    x = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(1.0)
    kernel = jnp.arange(9.0).reshape(3, 3, 1, 1)
    y = conv(x, kernel, padding=1)[0, :, :, 0]
    np.testing.assert_array_equal(y[1:4, 1:4], kernel[::-1, ::-1, 0, 0])


def operations(size, groups=1, dtype=jnp.float32):
    """Returns the primitives in a convolution of 9x9 maps."""
    x, kernel = jnp.ones((2, 9, 9, 4), dtype), jnp.ones((size, size, 4 // groups, 8), dtype)
    jaxpr = jax.make_jaxpr(lambda x, kernel: conv(x, kernel, groups=groups))(x, kernel)
    return {str(eqn.primitive) for eqn in jaxpr.eqns}


def test_float32_uses_our_primitives():
    assert "flax_vision_convolution" in operations(3)
    assert "flax_vision_convolution" in operations(1)
    assert "conv_general_dilated" in operations(3, groups=2)
    assert "conv_general_dilated" in operations(3, dtype=jnp.bfloat16)
    with jax.enable_x64(True):
        assert "conv_general_dilated" in operations(3, dtype=jnp.float64)


def test_kernels_of_the_images_size_are_a_matrix_product():
    assert "dot_general" in operations(9)
    assert "dot_general" in operations(9, dtype=jnp.bfloat16)


def test_product_of_few_rows_and_a_large_matrix_is_a_convolution(monkeypatch):
    """Values and gradients are unchanged, and the gradients are still products."""
    shapes = (2, 9, 9, 4), (9, 9, 4, 8), (8,)
    operands = [random_array(i, shape) for i, shape in enumerate(shapes)]
    expected = results(*operands)
    assert "dot_general" in operations(9)
    monkeypatch.setattr(cpu_convolution, "MIN_CONV_MATRIX", 9 * 9 * 4 * 8)
    jax.clear_caches()
    assert "dot_general" not in operations(9)
    assert "dot_general" in operations(9, dtype=jnp.bfloat16)
    for actual, reference in zip(results(*operands), expected, strict=True):
        np.testing.assert_allclose(actual, reference, rtol=1e-5, atol=1e-5)
    text = str(jax.make_jaxpr(results)(*operands))
    assert (text.count("conv_general_dilated["), text.count("dot_general[")) == (1, 2)


def test_empty_batch():
    assert conv(jnp.ones((0, 9, 9, 4)), jnp.ones((3, 3, 4, 8))).shape == (0, 7, 7, 8)


@pytest.mark.parametrize("onednn", ["with oneDNN", "without"])
def test_negative_padding_crops(onednn, request):
    if onednn == "without":
        request.getfixturevalue("without_onednn")
    x, kernel = random_array(0, (2, 6, 7, 3)), random_array(1, (3, 3, 3, 4))
    cropped = conv(x[:, 1:, :-1], kernel)
    np.testing.assert_allclose(
        conv(x, kernel, padding=((-1, 0), (0, -1))), cropped, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("kernel", "groups"), [((3, 3, 4, 2), 1), ((3, 3, 3, 2), 3), ((7, 3, 3, 2), 1)]
)
def test_kernels_must_fit(kernel, groups):
    with pytest.raises(
        ValueError, match=r"kernels \[.*\] in . groups do not fit images \[2,6,7,3\]"
    ):
        conv(jnp.ones((2, 6, 7, 3)), jnp.ones(kernel), groups=groups)
