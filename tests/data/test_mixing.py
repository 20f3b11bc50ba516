import jax
import numpy as np
import pytest

from flax_vision.data.mixing import cutmix_weights, larger_share, mix

COUNT = 401  # the middle image is its own partner
KEYS = jax.random.split(jax.random.key(0), COUNT)
EVERY = np.ones(COUNT, bool)
MIX = jax.jit(mix, static_argnames=("mixup", "cutmix"))
MIXUP, CUTMIX = {"mixup": 0.4, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}
BOTH = {"mixup": 0.4, "cutmix": 1.0}
NUMBERS = np.arange(COUNT, dtype=np.float32).reshape(-1, 1, 1, 1)
IMAGES = np.broadcast_to(NUMBERS, (COUNT, 12, 10, 3)).copy()
"""Images whose pixels are all the number of the image."""


def test_mixup_blends_an_image_with_its_mirrored_position():
    random = np.random.default_rng(0).normal(size=IMAGES.shape).astype(np.float32)
    mixed, shares = MIX(random, KEYS, EVERY, **MIXUP)
    share = np.asarray(shares).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(mixed, share * random + (1 - share) * random[::-1], atol=1e-6)
    assert 0.5 <= share.min() < 0.52
    assert 0.999 < np.delete(share, COUNT // 2).max() <= 1


@pytest.mark.slow
def test_cutmix_pastes_a_rectangle_and_counts_its_pixels():
    mixed, shares = map(np.asarray, MIX(IMAGES, KEYS, EVERY, **CUTMIX))
    pasted = (mixed != IMAGES).any(axis=3)
    expected = np.where(pasted[..., None], IMAGES[::-1], IMAGES)
    np.testing.assert_array_equal(mixed, expected)
    np.testing.assert_allclose(shares, 1 - pasted.mean(axis=(1, 2)), rtol=1e-6)
    heights, widths = pasted.any(axis=2).sum(axis=1), pasted.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(pasted.sum(axis=(1, 2)), heights * widths)  # rectangles
    assert (shares >= 0.5).all()
    assert pasted.mean(axis=0).min() > 0  # every position


DRAW_SHARES = jax.jit(jax.vmap(larger_share, (0, None)))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_have_the_larger_of_two_beta_shares(alpha):
    shares = np.asarray(DRAW_SHARES(jax.random.split(KEYS[0], 4000), alpha))
    variance = 1 / (4 * (2 * alpha + 1))  # of Beta(alpha, alpha), around 1/2
    assert ((shares - 0.5) ** 2).mean() == pytest.approx(variance, rel=0.05)
    reference = np.random.default_rng(0).beta(alpha, alpha, 100_000)
    quantiles = [0.1, 0.3, 0.5, 0.7, 0.9]
    np.testing.assert_allclose(
        np.quantile(shares, quantiles),
        np.quantile(np.maximum(reference, 1 - reference), quantiles),
        atol=0.02,
    )


def test_inner_rectangles_have_the_shape_of_the_image():
    share = 0.7
    draw = jax.jit(jax.vmap(lambda key: cutmix_weights(key, (400, 300), share)))
    weights, shares = map(np.asarray, draw(KEYS[:50]))
    pasted = np.asarray(weights) == 0
    inner = ~pasted[:, [0, -1]].any(axis=(1, 2)) & ~pasted[:, :, [0, -1]].any(axis=(1, 2))
    sides = np.stack([pasted.any(axis=2).sum(axis=1), pasted.any(axis=1).sum(axis=1)], axis=1)
    assert inner.sum() > 5
    # The sides are rounded down to an even number of pixels.
    expected = np.sqrt(1 - share) * np.array([400, 300])
    np.testing.assert_allclose(
        sides[inner], np.broadcast_to(expected - 1, sides[inner].shape), atol=1
    )
    np.testing.assert_allclose(1 - sides.prod(axis=1) / (400 * 300), shares, atol=1e-6)


@pytest.mark.slow
def test_with_both_half_of_the_images_take_each():
    mixed, shares = map(np.asarray, MIX(IMAGES, KEYS, EVERY, **BOTH))
    is_blended = (mixed == mixed[:, :1, :1]).all(axis=(1, 2, 3)) & (shares < 1)
    assert 0.4 * COUNT < is_blended.sum() < 0.6 * COUNT
    pixels, own, partner = (x[..., 0, 0, 0] for x in (mixed, IMAGES, IMAGES[::-1]))
    expected = shares * own + (1 - shares) * partner
    np.testing.assert_allclose(pixels[is_blended], expected[is_blended], rtol=1e-3)
    cut, own, partner = (x[~is_blended] for x in (mixed, IMAGES, IMAGES[::-1]))
    assert ((cut == own) | (cut == partner)).all()


@pytest.mark.slow
@pytest.mark.parametrize("alphas", [MIXUP, CUTMIX, BOTH])
def test_images_stay_whole_beside_unreadable_ones_and_themselves(alphas):
    mask = np.arange(COUNT) >= 150  # partners of the last 150 are unreadable
    mixed, shares = map(np.asarray, MIX(IMAGES, KEYS, mask, **alphas))
    whole = [COUNT // 2, *range(COUNT - 150, COUNT)]
    np.testing.assert_array_equal(mixed[whole], IMAGES[whole])
    np.testing.assert_array_equal(shares[whole], 1)
    assert (np.delete(shares, whole) < 1).mean() > 0.8


def test_an_image_is_mixed_by_its_own_key():
    _, shares = MIX(IMAGES, KEYS, EVERY, **BOTH)
    _, turned = MIX(IMAGES[::-1], KEYS[::-1], EVERY, **BOTH)
    np.testing.assert_array_equal(shares, turned[::-1])
