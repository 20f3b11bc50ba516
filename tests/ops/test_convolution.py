import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_array

from flax_vision.ops import convolution as convolutions
from flax_vision.ops.convolution import convolution

# Size of the kernel, stride, padding, groups; the first four have forms of their own.
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
    """The convolution and the gradients of a sum with random weights."""

    def everything(x, kernel, bias):
        y, pull_back = jax.vjp(
            lambda *of: convolution(*of[:2], *settings, bias=of[2]), x, kernel, bias
        )
        return y, *pull_back(random_array(2, y.shape))

    return jax.jit(everything)(x, kernel, bias)


def compare_with_plain_form(use_plain_forms, size, stride, padding, groups):
    x = random_array(0, (2, 9, 9, 4))
    kernel, bias = random_array(1, (size, size, 4 // groups, 8)), random_array(3, (8,))
    fast = results(x, kernel, bias, stride, padding, groups)
    use_plain_forms()
    plain = results(x, kernel, bias, stride, padding, groups)
    for ours, theirs in zip(fast, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "stride", "padding", "groups"), CASES)
def test_forms_agree(size, stride, padding, groups, use_plain_forms):
    compare_with_plain_form(use_plain_forms, size, stride, padding, groups)


@pytest.mark.parametrize(("size", "stride", "padding", "groups"), CASES)
@pytest.mark.usefixtures("without_onednn")
def test_forms_agree_without_onednn(size, stride, padding, groups, use_plain_forms):
    compare_with_plain_form(use_plain_forms, size, stride, padding, groups)


def test_it_is_a_cross_correlation():
    x = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(1.0)
    kernel = jnp.arange(9.0).reshape(3, 3, 1, 1)
    y = convolution(x, kernel, padding=1)[0, :, :, 0]
    np.testing.assert_array_equal(y[1:4, 1:4], kernel[::-1, ::-1, 0, 0])


def operations(size, groups=1, dtype=jnp.float32):
    """What a convolution of 9x9 maps is made of."""
    x, kernel = jnp.ones((2, 9, 9, 4), dtype), jnp.ones((size, size, 4 // groups, 8), dtype)
    jaxpr = jax.make_jaxpr(lambda x, kernel: convolution(x, kernel, groups=groups))(x, kernel)
    return {str(eqn.primitive) for eqn in jaxpr.eqns}


def test_single_precision_has_primitives_of_its_own():
    assert "flax_vision_convolution" in operations(3)
    assert "flax_vision_convolution" in operations(1)
    assert "conv_general_dilated" in operations(3, groups=2)
    assert "conv_general_dilated" in operations(3, dtype=jnp.bfloat16)
    with jax.enable_x64(True):
        assert "conv_general_dilated" in operations(3, dtype=jnp.float64)


def test_a_convolution_of_the_whole_map_is_a_matrix_product():
    assert "dot_general" in operations(9)
    assert "dot_general" in operations(9, dtype=jnp.bfloat16)


def test_few_rows_of_a_large_product_are_a_convolution(monkeypatch):
    """With the values and the gradients of a product; and the gradients are products still."""
    shapes = (2, 9, 9, 4), (9, 9, 4, 8), (8,)
    operands = [random_array(i, shape) for i, shape in enumerate(shapes)]
    expected = results(*operands)
    assert "dot_general" in operations(9)
    monkeypatch.setattr(convolutions, "_LARGE_MATRIX", 9 * 9 * 4 * 8)
    jax.clear_caches()
    assert "dot_general" not in operations(9)
    assert "dot_general" in operations(9, dtype=jnp.bfloat16)
    for one, other in zip(results(*operands), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    text = str(jax.make_jaxpr(results)(*operands))
    assert (text.count("conv_general_dilated["), text.count("dot_general[")) == (1, 2)


def test_no_images():
    assert convolution(jnp.ones((0, 9, 9, 4)), jnp.ones((3, 3, 4, 8))).shape == (0, 7, 7, 8)


@pytest.mark.parametrize("onednn", ["with oneDNN", "without"])
def test_negative_padding_crops(onednn, request):
    if onednn == "without":
        request.getfixturevalue("without_onednn")
    x, kernel = random_array(0, (2, 6, 7, 3)), random_array(1, (3, 3, 3, 4))
    cropped = convolution(x[:, 1:, :-1], kernel)
    np.testing.assert_allclose(
        convolution(x, kernel, padding=((-1, 0), (0, -1))), cropped, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("kernel", "groups"), [((3, 3, 4, 2), 1), ((3, 3, 3, 2), 3), ((7, 3, 3, 2), 1)]
)
def test_kernels_that_do_not_fit(kernel, groups):
    with pytest.raises(
        ValueError, match=r"kernels \[.*\] in . groups do not fit images \[2,6,7,3\]"
    ):
        convolution(jnp.ones((2, 6, 7, 3)), jnp.ones(kernel), groups=groups)
