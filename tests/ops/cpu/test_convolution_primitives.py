"""The primitives, lowered to oneDNN and to pure JAX, against XLA's convolution."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from barriers import can_be_heeded, temporary_bytes
from conv_forms import (
    PADDING,
    assert_close,
    gradients,
    loss,
    ours,
    ours_with_epilogue,
    xla,
    xla_with_epilogue,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from quick_jit import quick_jit
from random_arrays import random_array

pytestmark = pytest.mark.usefixtures("library")


@partial(quick_jit, static_argnames=("conv", "stride", "padding"))
def value_and_gradients(conv, x, kernel, *, stride, padding):
    y, pull_back = jax.vjp(partial(conv, stride=stride, padding=padding), x, kernel)
    return y, pull_back(jnp.cos(y))


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_values_and_gradients(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    kernel_shape = (draw(1, 5), draw(1, 5), draw(1, 9), draw(1, 9))
    # With more padding, XLA's own input gradient is wrong on a CPU (jaxlib 0.10.2).
    limits = [min(3, window - 1) for window in kernel_shape[:2]]
    padding = tuple((draw(0, limit), draw(0, limit)) for limit in limits)
    sizes = [
        max(draw(1, 12), window - sum(pair))
        for window, pair in zip(kernel_shape, padding, strict=False)
    ]
    x, kernel = (
        random_array(0, (draw(1, 5), *sizes, kernel_shape[2])),
        random_array(1, kernel_shape),
    )
    geometry = {"stride": draw(1, 3), "padding": padding}

    assert_close(*(value_and_gradients(form, x, kernel, **geometry) for form in (ours, xla)))


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [(1, 1, 256, 512), (3, 3, 128, 128), (1, 1, 64, 200)])
def test_many_kernels(kernel):
    """oneDNN's own layout has blocks that may not divide the number of kernels."""
    operands = random_array(0, (2, 6, 6, kernel[2])), random_array(1, kernel) / 30
    assert_close(
        *(value_and_gradients(form, *operands, stride=1, padding=PADDING) for form in (ours, xla))
    )


@pytest.mark.slow
def test_scale_multiplies_the_maps_not_the_kernel(library):
    """A large kernel takes longer to multiply than the maps, in a pass that is there anyway.

    Without oneDNN XLA fuses the product with the epilogue; oneDNN computes it in its own pass.
    """
    shapes = [(2, 4, 4, 96), (3, 3, 96, 128), (2, 128)]
    operands = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]

    def form(x, kernel, affine):
        scale, bias = affine
        return ours(x, kernel, 1, ((1, 1), (1, 1)), scale=scale, bias=bias, relu=True)

    products = {
        platform: re.findall(
            r"stablehlo.multiply .*tensor<(\S+)xf32>",
            jax.jit(form).trace(*operands).lower(lowering_platforms=(platform,)).as_text(),
        )
        for platform in ("cpu", "cuda")
    }
    assert products["cpu"] == (["2x4x4x128"] if library == "without" else [])
    assert products["cuda"] == ["3x3x96x128"]


@pytest.mark.slow
def test_bias(operands):
    def value_and_gradients(conv):
        def weighted(x, kernel, bias):
            y = conv(x, kernel, bias)
            return (y * random_array(3, y.shape)).sum(), y

        value = jax.value_and_grad(weighted, (0, 1, 2), has_aux=True)
        return jax.jit(value)(*operands, random_array(2, (5,)))

    expected = lambda x, kernel, bias: xla(x, kernel) + bias.reshape(1, 1, 1, -1)  # noqa: E731
    with_bias = lambda x, kernel, bias: ours(x, kernel, bias=bias)  # noqa: E731
    assert_close(value_and_gradients(with_bias), value_and_gradients(expected))


@pytest.mark.slow
def test_epilogue(epilogue_operands):
    def value_and_gradients(conv):
        y, pull_back = jax.vjp(conv, *epilogue_operands)
        return y, pull_back(random_array(3, y.shape))

    assert_close(value_and_gradients(ours_with_epilogue), value_and_gradients(xla_with_epilogue))


@pytest.mark.slow
def test_residual_without_bias(operands):
    residual = random_array(4, xla(*operands).shape)
    actual = ours(*operands, residual=residual, relu=True)
    assert_close(actual, jax.nn.relu(xla(*operands) + residual))


@pytest.mark.slow
def test_derivative_of_the_epilogue(epilogue_operands):
    def along(conv):
        return jax.jvp(conv, epilogue_operands, epilogue_operands)

    assert_close(along(ours_with_epilogue), along(xla_with_epilogue))


@pytest.mark.slow
def test_derivative_along_scale_and_bias(epilogue_operands):
    x, kernel, affine, *residual = epilogue_operands

    def along(conv):
        return jax.jvp(lambda affine: conv(x, kernel, affine, *residual), (affine,), (affine,))

    assert_close(along(ours_with_epilogue), along(xla_with_epilogue))


@pytest.mark.slow
def test_zero_relu_has_no_gradient(operands):
    x, kernel = map(jnp.zeros_like, operands)
    gradient = jax.grad(lambda bias: ours_with_epilogue(x, kernel, bias).sum())(jnp.zeros(5))
    assert_close(gradient, jnp.zeros(5))


@pytest.mark.slow
@pytest.mark.parametrize("which", range(3))
def test_relu_propagates_nan(operands, affine, which):
    """A diverged run must not look healthy."""
    broken = [*operands, affine]
    broken[which] = jnp.full_like(broken[which], jnp.nan)
    assert jnp.isnan(ours_with_epilogue(*broken)).all()
    assert jnp.isnan(ours_with_epilogue(*operands, affine, xla(*operands) * jnp.nan)).all()


@pytest.mark.slow
def test_vmap_of_the_epilogue(epilogue_operands):
    x, *others = epilogue_operands
    many = jnp.stack([x, 2 * x])
    along = lambda conv: jax.vmap(lambda x: conv(x, *others))(many)  # noqa: E731
    assert_close(along(ours_with_epilogue), along(xla_with_epilogue))


@pytest.mark.slow
def test_derivatives_along_a_direction(operands):
    assert_close(jax.jvp(ours, operands, operands), jax.jvp(xla, operands, operands))


@pytest.mark.slow
def test_second_derivatives(operands):
    def along(conv):
        return jax.jit(lambda *of: jax.jvp(gradients(conv), of, of))(*operands)

    def of_the_squared_gradient(conv):
        def squares(*of):
            return sum((gradient**2).sum() for gradient in gradients(conv)(*of))

        return jax.jit(jax.grad(squares, (0, 1)))(*operands)

    assert_close(along(ours), along(xla))
    assert_close(of_the_squared_gradient(ours), of_the_squared_gradient(xla))


@pytest.mark.slow
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap(operands, axes):
    many = [
        x if axis is None else jnp.stack([x, 2 * x]) for x, axis in zip(operands, axes, strict=True)
    ]
    assert_close(jax.vmap(ours, axes)(*many), jax.vmap(xla, axes)(*many))


@pytest.mark.slow
def test_second_derivatives_of_the_epilogue(epilogue_operands):
    def along(conv):
        loss = lambda *of: (conv(*of) ** 3).sum()  # noqa: E731
        every = tuple(range(len(epilogue_operands)))
        return jax.jit(lambda *of: jax.jvp(jax.grad(loss, every), of, of))(*epilogue_operands)

    assert_close(along(ours_with_epilogue), along(xla_with_epilogue))


@pytest.mark.slow
def test_rematerialization(operands):
    again = jax.jit(jax.grad(jax.checkpoint(loss(ours)), (0, 1)))
    assert_close(again(*operands), gradients(xla)(*operands))


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "count"), [(32, 3), (96, 0)])
def test_onednn_computes_all_but_winograds_shapes(channels, count, library):
    """Counts a convolution and its two gradients."""
    x, kernel = jnp.ones((8, 14, 14, channels)), jnp.ones((3, 3, channels, channels))
    conv = partial(ours, stride=1, padding=((1, 1), (1, 1)))
    text = jax.jit(gradients(conv)).lower(x, kernel).as_text()
    assert text.count("@flax_vision_") == (count if library == "with oneDNN" else 0)


@pytest.mark.slow
def test_reproducible(operands):
    step = jax.jit(gradients(ours))
    first, second = step(*operands), step(*operands)
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.slow
def test_other_backends_use_xla(operands):
    lowered = jax.jit(gradients(ours)).trace(*operands).lower(lowering_platforms=("cuda",))
    assert "stablehlo.convolution" in lowered.as_text()
    assert "flax_vision" not in lowered.as_text()


@pytest.mark.slow
@can_be_heeded
def test_only_the_result_of_a_relu_is_stored():
    """Six layers take the memory of ten maps, or thirteen with the inputs of the ReLUs."""
    kernels, x = [jnp.ones((3, 3, 24, 24))] * 6, jnp.ones((8, 16, 16, 24))

    def total(kernels):
        y = x
        for kernel in kernels:
            y = ours(y, kernel, stride=1, padding=((1, 1),) * 2, bias=jnp.ones(24), relu=True)
        return y.sum()

    assert temporary_bytes(jax.grad(total), kernels) < 11.5 * x.nbytes
