from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quick_jit import quick_jit
from random_arrays import random_array

from flax_vision.ops.cpu.windows import window_max, window_slices


def gathered(x, axis, size, stride):
    """Gathers the maximum of each window by an index, with JAX's derivative."""
    count = (x.shape[axis] - size) // stride + 1
    index = np.arange(count)[:, None] * stride + np.arange(size)
    picked = jnp.moveaxis(jnp.take(x, index, axis), axis + 1, -1)
    first = jnp.argmax(picked, -1, keepdims=True)
    return jnp.take_along_axis(picked, first, -1)[..., 0]


def by_numpy(x, cotangent, tangent, axis, size, stride):
    """Computes the maxima, the cotangent pulled back, and the derivative along a tangent."""
    x, cotangent, tangent = (np.moveaxis(np.asarray(a), axis, -1) for a in (x, cotangent, tangent))
    y, gradient, derivative = np.empty_like(cotangent), np.zeros_like(x), np.empty_like(cotangent)
    for window in range(cotangent.shape[-1]):
        start = window * stride
        first = x[..., start : start + size].argmax(-1)[..., None] + start
        y[..., window] = np.take_along_axis(x, first, -1)[..., 0]
        derivative[..., window] = np.take_along_axis(tangent, first, -1)[..., 0]
        so_far = np.take_along_axis(gradient, first, -1)
        np.put_along_axis(gradient, first, so_far + cotangent[..., window, None], -1)
    return [np.moveaxis(a, -1, axis) for a in (y, gradient, derivative)]


def check(x, axis, size, stride):
    @quick_jit
    def ours(x, cotangent, tangent):
        form = partial(window_max, axis=axis, size=size, stride=stride)
        y, pull = jax.vjp(form, x)
        return y, pull(cotangent)[0], jax.jvp(form, (x,), (tangent,))[1]

    shape = list(x.shape)
    shape[axis] = (x.shape[axis] - size) // stride + 1
    directions = random_array(1, tuple(shape)), random_array(2, x.shape)
    expected = by_numpy(x, *directions, axis, size, stride)
    for one, other in zip(ours(x, *directions), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_values_and_derivatives(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    size, stride, axis = draw(1, 5), draw(1, 5), draw(0, 2)
    shape = [draw(1, 3) for _ in range(3)]
    shape[axis] = draw(size, 14)
    levels = data.draw(st.sampled_from([1, 2, 100]))  # few levels give windows of equal values
    check(np.round(np.asarray(random_array(0, tuple(shape))) * levels), axis, size, stride)


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 1)])
def test_long_axes(size, stride):
    check(random_array(0, (1, 300, 2)), 1, size, stride)


@pytest.mark.slow
def test_windows_of_more_than_127():
    check(random_array(0, (1, 160, 1)), 1, 150, 1)


def test_strides_of_more_than_127():
    check(random_array(0, (1, 600, 1)), 1, 3, 257)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_nan_is_the_maximum(index):
    x = jnp.asarray(np.where(np.arange(3) == index, np.nan, 1), jnp.float32)
    y, derivative = jax.jvp(lambda x: window_max(x, 0, 3, 1), (x,), (jnp.ones(3),))
    assert jnp.isnan(y).all()
    assert jnp.isfinite(derivative).all()


def test_second_derivatives_and_vmap():
    x = random_array(0, (2, 9))
    cubes = lambda form: lambda x: (form(x, 0, 3, 2) ** 3).sum()  # noqa: E731
    for many in (lambda f: jax.vmap(jax.hessian(f)), lambda f: jax.vmap(jax.grad(f))):
        ours, theirs = jax.jit(many(cubes(window_max)))(x), jax.jit(many(cubes(gathered)))(x)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_half_precision_is_unchanged():
    x = random_array(0, (4, 9)).astype(jnp.bfloat16)
    y, pull = jax.vjp(lambda x: window_max(x, 1, 3, 2), x)
    assert y.dtype == pull(y)[0].dtype == jnp.bfloat16


def test_window_slices():
    first, second = window_slices(jnp.arange(5), 0, 2, 2)
    np.testing.assert_array_equal(first, [0, 2])
    np.testing.assert_array_equal(second, [1, 3])
