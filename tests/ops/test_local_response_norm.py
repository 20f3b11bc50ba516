from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.ops.normalization import local_response_norm

PAPER = {"k": 2.0, "alpha": 1e-4}
CODE_2012 = {"k": 2.0, "alpha": 1e-4 / 5}
CAFFE = {"k": 1.0, "alpha": 1e-4 / 5}


@pytest.mark.parametrize(
    ("convention", "value", "interior", "edge"),
    [
        (PAPER, 1.0, 0.5944921, 0.5945367),
        (CODE_2012, 1.0, 0.5945813, 0.5945902),
        (CAFFE, 1.0, 0.9999250, 0.9999550),
        (PAPER, 100.0, 23.23681, None),
        (CODE_2012, 100.0, 43.86913, None),
        (CAFFE, 100.0, 59.46036, None),
    ],
)
@pytest.mark.parametrize("is_reference", [False, True])
def test_reference_values(convention, value, interior, edge, is_reference, use_reference_ops):
    if is_reference:
        use_reference_ops()
    b = local_response_norm(jnp.full((1, 2, 2, 9), value), **convention)
    np.testing.assert_allclose(b[0, 0, 0, 4], interior, rtol=2e-7)
    if edge:
        np.testing.assert_allclose(b[0, 0, 0, [0, -1]], edge, rtol=2e-7)


def by_hand(a, k, alpha, beta, size):
    """The formula of section 3.3, channel by channel."""
    b = np.empty_like(a)
    last = a.shape[-1] - 1
    for i in range(last + 1):
        neighbors = a[..., max(0, i - size // 2) : min(last, i + size // 2) + 1]
        b[..., i] = a[..., i] / (k + alpha * (neighbors**2).sum(axis=-1)) ** beta
    return b


@pytest.mark.parametrize("is_reference", [False, True])
@pytest.mark.parametrize(("beta", "size"), [(0.75, 5), (0.5, 3), (0.75, 7)])
def test_formula(beta, size, is_reference, use_reference_ops):
    if is_reference:
        use_reference_ops()
    a = 30 * np.random.default_rng(0).standard_normal((2, 3, 4, 11))
    b = local_response_norm(jnp.float32(a), k=2.0, alpha=0.01, beta=beta, size=size)
    np.testing.assert_allclose(b, by_hand(a, 2.0, 0.01, beta, size), rtol=1e-5)


def test_gradients_equal_reference(use_reference_ops):
    random = np.random.default_rng(0)
    a = jnp.asarray(10 * random.standard_normal((2, 3, 4, 11), np.float32))
    weights = jnp.asarray(random.standard_normal(a.shape, np.float32))

    def gradient():
        normalize = partial(local_response_norm, k=2.0, alpha=0.01)
        return jax.jit(jax.grad(lambda a: jnp.sum(weights * normalize(a))))(a)

    fast = gradient()
    use_reference_ops()
    np.testing.assert_allclose(fast, gradient(), rtol=1e-4, atol=1e-5)


def test_forward_mode_and_vmap():
    a = jnp.asarray(np.random.default_rng(0).standard_normal((3, 7), np.float32))
    normalize = partial(local_response_norm, k=2.0, alpha=0.01)
    by_rows = jax.jit(jax.vmap(jax.jacfwd(normalize)))(a)
    np.testing.assert_allclose(by_rows, jax.jit(jax.vmap(jax.jacrev(normalize)))(a), atol=1e-6)


def test_half_precision_is_computed_in_float32():
    a = jnp.full((1, 1, 1, 9), 100.0, jnp.bfloat16)
    b = local_response_norm(a, **PAPER)
    assert b.dtype == jnp.bfloat16
    assert float(b[0, 0, 0, 4]) == pytest.approx(23.23681, rel=2**-8)
