from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from quick_jit import quick_jit
from random_arrays import random_array

from flax_vision.ops.cpu import onednn_library
from flax_vision.ops.pooling import adaptive_average_pool, average_pool, max_pool, sum_pool

SHAPE = (2, 9, 12, 3)
MANY_CHANNELS = (3, 9, 12, 19)


def with_gradient(pool, x):
    """Computes the pooled maps and the gradient of a sum with random weights."""
    y, pull_back = jax.vjp(pool, x)
    return y, *pull_back(random_array(1, y.shape))


def value_and_gradient(pool, x):
    return quick_jit(partial(with_gradient, pool))(x)


@pytest.mark.parametrize("padding", ["VALID", "SAME", "CEIL", 1, ((0, 1), (2, 0))])
@pytest.mark.parametrize(
    ("size", "stride"),
    [(3, 2), (2, 2), *(pytest.param(*x, marks=pytest.mark.slow) for x in ((3, 1), (1, 1), (3, 3)))],
)
@pytest.mark.parametrize("shape", [SHAPE, MANY_CHANNELS])
def test_max_pool_equals_reference(size, stride, padding, shape, use_reference_ops):
    x = random_array(0, shape)
    pooled = max_pool(x, size, stride, padding)
    fast = value_and_gradient(lambda x: max_pool(x, size, stride, padding), x)
    use_reference_ops()
    reference = value_and_gradient(lambda x: max_pool(x, size, stride, padding), x)
    np.testing.assert_array_equal(pooled, reference[0])
    np.testing.assert_array_equal(fast[0], reference[0])
    np.testing.assert_allclose(fast[1], reference[1], rtol=1e-6, atol=1e-6)


def test_max_pool_of_several_channel_blocks_equals_reference(use_reference_ops):
    x = random_array(0, (1, 5, 6, 150))
    fast = value_and_gradient(lambda x: max_pool(x, 3, 2, 1), x)
    use_reference_ops()
    reference = value_and_gradient(lambda x: max_pool(x, 3, 2, 1), x)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6), fast, reference)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (5, 5), (5, 3), (3, 1), (1, 2)])
def test_sum_pool_equals_reference(size, stride, use_reference_ops):
    x = random_array(0, SHAPE)
    fast = value_and_gradient(lambda x: sum_pool(x, size, stride), x)
    use_reference_ops()
    reference = value_and_gradient(lambda x: sum_pool(x, size, stride), x)
    for actual, expected in zip(fast, reference, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_max_pool_by_hand():
    x = jnp.arange(25.0).reshape(1, 5, 5, 1)
    np.testing.assert_array_equal(max_pool(x, 3, 2)[0, :, :, 0], [[12, 14], [22, 24]])
    padded = max_pool(x, 3, 2, 1)[0, :, :, 0]
    np.testing.assert_array_equal(padded, [[6, 8, 9], [16, 18, 19], [21, 23, 24]])


@pytest.mark.parametrize("shape", [SHAPE, MANY_CHANNELS])
def test_derivatives_of_max_pool_equal_reference(shape, use_reference_ops):
    """Compares the derivative along a direction, and the derivative of a gradient."""
    x, direction = random_array(0, shape), random_array(1, shape)
    pool = partial(max_pool, size=3, stride=2, padding=1)

    def derivatives(x, direction):
        curvature = jax.grad(lambda x: (jax.grad(lambda x: (pool(x) ** 3).sum())(x) ** 2).sum())
        return jax.jvp(pool, (x,), (direction,))[1], curvature(x)

    def compiled():
        """Compiles a new function, because `jit` would reuse the program of the same one."""
        return quick_jit(lambda *operands: derivatives(*operands))(x, direction)

    fast = compiled()
    use_reference_ops()
    for actual, expected in zip(fast, compiled(), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_gradient_goes_to_nan():
    x = jnp.zeros((1, 3, 3, 16)).at[0, 1, 2].set(jnp.nan)
    gradient = jax.grad(lambda x: max_pool(x, 3, 1).sum())(x)
    np.testing.assert_array_equal(gradient, jnp.isnan(x))


@pytest.mark.parametrize("shape", [SHAPE, MANY_CHANNELS])
def test_max_pool_equals_reference_on_ties(shape, use_reference_ops):
    x = jnp.round(random_array(0, shape) * 2)  # few values, so windows have equal values

    def gradient(x):
        return value_and_gradient(lambda x: max_pool(x, 3, 2, 1), x)[1]

    fast = gradient(x)
    use_reference_ops()
    np.testing.assert_allclose(fast, gradient(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("index", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("channels", [1, 35])
def test_nan_is_not_hidden(index, channels):
    x = jnp.ones((1, 2, 2, channels)).at[0, *index].set(jnp.nan)
    assert jnp.isnan(max_pool(x, 2, 2)).all()


def test_devices_pool_their_own_images():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
    x = random_array(0, (4, 6, 6, 16))
    pool = partial(with_gradient, partial(max_pool, size=3, stride=2))
    with jax.set_mesh(mesh):
        images = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
        program = jax.jit(pool).lower(images).compile()
        pooled = program(images)
    assert "all-gather" not in program.as_text()
    jax.tree.map(np.testing.assert_array_equal, pooled, jax.jit(pool)(x))


def test_vmap_of_max_pool():
    x = random_array(0, (2, *MANY_CHANNELS))
    pool = partial(max_pool, size=3, stride=2, padding=1)
    gradient = jax.grad(lambda x: (pool(x) ** 2).sum())
    for function, tolerance in ((pool, 0), (gradient, 1e-6)):
        one, both_at_once = quick_jit(function), quick_jit(jax.vmap(function))
        np.testing.assert_allclose(both_at_once(x), [one(image) for image in x], rtol=tolerance)


@pytest.mark.skipif(
    onednn_library.unavailable_reason() is not None, reason="there is no oneDNN here"
)
def test_gradient_uses_the_compiled_handler():
    gradient = jax.grad(lambda x: max_pool(x, 3, 2).sum())
    program = jax.jit(gradient).lower(random_array(0, MANY_CHANNELS)).as_text()
    assert "flax_vision_max_pool_gradient" in program


def test_shapes_do_not_need_the_compiled_library(monkeypatch):
    """The library is compiled at its first use."""
    monkeypatch.setattr(onednn_library, "unavailable_reason", None)
    pool = partial(max_pool, size=3, stride=2)
    assert jax.eval_shape(pool, jnp.zeros(MANY_CHANNELS)).shape == (3, 4, 5, 19)


def test_padding_never_wins():
    x = jnp.full((1, 4, 4, 1), -5.0)
    np.testing.assert_array_equal(max_pool(x, 3, 2, 1), jnp.full((1, 2, 2, 1), -5.0))


def test_average_pool_by_hand():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(average_pool(x, 2, 2)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])


@pytest.mark.parametrize(
    ("length", "windows"),
    [
        # PyTorch's windows over 14 pixels, 5, and fewer pixels than windows.
        (14, [(0, 4), (3, 7), (7, 11), (10, 14)]),
        (5, [(0, 2), (1, 3), (2, 4), (3, 5)]),
        (2, [(0, 1), (0, 1), (1, 2), (1, 2)]),
        (8, [(0, 2), (2, 4), (4, 6), (6, 8)]),
    ],
)
def test_adaptive_average_pool_has_pytorchs_windows(length, windows):
    rows = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    x = jnp.asarray(rows[None, :, None, None] * np.ones((1, 1, 3, 1), np.float32))
    expected = [rows[start:end].mean() for start, end in windows]
    for column in range(4):
        pooled = adaptive_average_pool(x, 4)[0, :, column, 0]
        np.testing.assert_allclose(pooled, expected, rtol=1e-6)


def test_half_precision_is_summed_in_float32():
    x = jnp.full((1, 5, 5, 1), 60_000.0, jnp.float16)
    assert float(average_pool(x, 5, 3)[0, 0, 0, 0]) == 60_000
    assert float(adaptive_average_pool(x, 1)[0, 0, 0, 0]) == 60_000


def test_types_are_unchanged():
    x = jnp.ones((1, 8, 8, 2), jnp.bfloat16)
    for pooled in (max_pool(x, 3, 2, 1), average_pool(x, 2, 2), adaptive_average_pool(x, 4)):
        assert pooled.dtype == jnp.bfloat16
