import jax
import numpy as np
import pytest

from flax_vision.data.mixing import cutmix_weights, mix, mixup_weights

KEYS = jax.random.split(jax.random.key(0), 400)
EVERY = np.ones(400, bool)
MIX = jax.jit(mix, static_argnames=("mixup", "cutmix"))


def constant_images(count=400, shape=(12, 10, 3)):
    """Returns images whose pixels are all the number of the image."""
    return np.broadcast_to(
        np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1), (count, *shape)
    ).copy()


def test_mixup_blends_an_image_with_its_mirrored_position():
    random = np.random.default_rng(0).normal(size=(400, 12, 10, 3)).astype(np.float32)
    mixed, shares = MIX(random, KEYS, EVERY, mixup=0.4, cutmix=0.0)
    share = np.asarray(shares).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(mixed, share * random + (1 - share) * random[::-1], atol=1e-6)
    assert 0.5 <= share.min() < 0.52
    assert share.max() > 0.999


def test_cutmix_pastes_a_rectangle_and_counts_its_pixels():
    images = constant_images()
    mixed, shares = map(np.asarray, MIX(images, KEYS, EVERY, mixup=0.0, cutmix=1.0))
    own, partner = mixed == images, mixed == images[::-1]
    assert (own ^ partner).all()
    assert (own == own[..., :1]).all()
    pasted = partner[..., 0]
    np.testing.assert_allclose(shares, 1 - pasted.mean(axis=(1, 2)), rtol=1e-6)
    heights, widths = pasted.any(axis=2).sum(axis=1), pasted.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(pasted.sum(axis=(1, 2)), heights * widths)  # rectangles
    assert (shares >= 0.5).all()
    assert pasted.mean(axis=0).min() > 0  # every position


DRAW_MIXUP = jax.jit(jax.vmap(lambda key, alpha: mixup_weights(key, (2, 1), alpha), (0, None)))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_have_the_larger_of_two_beta_shares(alpha):
    weights, shares = map(np.asarray, DRAW_MIXUP(jax.random.split(KEYS[0], 4000), alpha))
    np.testing.assert_array_equal(weights, np.broadcast_to(shares[:, None, None], weights.shape))
    variance = 1 / (4 * (2 * alpha + 1))  # of Beta(alpha, alpha), around 1/2
    assert ((shares - 0.5) ** 2).mean() == pytest.approx(variance, rel=0.05)
    reference = np.random.default_rng(0).beta(alpha, alpha, 100_000)
    quantiles = [0.1, 0.3, 0.5, 0.7, 0.9]
    np.testing.assert_allclose(
        np.quantile(shares, quantiles),
        np.quantile(np.maximum(reference, 1 - reference), quantiles),
        atol=0.02,
    )


def test_inner_rectangles_have_the_area_of_the_share():
    """The sides are the square root of the share, rounded down to an even number of pixels."""
    shape, keys = (400, 300), KEYS[:50]
    weights, shares = jax.jit(jax.vmap(lambda key: cutmix_weights(key, shape, 1.0)))(keys)
    pasted = np.asarray(weights) == 0
    inner = ~pasted[:, [0, -1]].any(axis=(1, 2)) & ~pasted[:, :, [0, -1]].any(axis=(1, 2))
    sides = np.stack([pasted.any(axis=2).sum(axis=1), pasted.any(axis=1).sum(axis=1)], axis=1)
    assert inner.sum() > 5
    np.testing.assert_allclose(sides[inner, 0] / 400, sides[inner, 1] / 300, atol=2 / 300)
    area = sides.prod(axis=1) / (400 * 300)
    np.testing.assert_allclose(1 - area, shares, atol=1e-6)


def test_with_both_half_of_the_images_take_each():
    images = constant_images()
    mixed, shares = map(np.asarray, MIX(images, KEYS, EVERY, mixup=1.0, cutmix=1.0))
    is_blended = (mixed == mixed[:, :1, :1]).all(axis=(1, 2, 3)) & (shares < 1)
    assert 150 < is_blended.sum() < 250
    pixels, own, partner = (x[..., 0, 0, 0] for x in (mixed, images, images[::-1]))
    expected = shares * own + (1 - shares) * partner
    np.testing.assert_allclose(pixels[is_blended], expected[is_blended], rtol=1e-4)
    cut = mixed[~is_blended]
    assert ((cut == images[~is_blended]) | (cut == images[::-1][~is_blended])).all()


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.5, 0.0), (0.0, 0.5)])
def test_images_stay_whole_beside_unreadable_ones_and_themselves(mixup, cutmix):
    images, keys = constant_images(5), KEYS[:5]
    images[0] = 1e9  # pixels of an unreadable image have no effect
    mask = np.array([False, True, True, True, True])
    mixed, shares = map(np.asarray, MIX(images, keys, mask, mixup=mixup, cutmix=cutmix))
    for position in (2, 4):  # the middle one, and the partner of the unreadable one
        np.testing.assert_array_equal(mixed[position], images[position])
        assert shares[position] == 1
    assert (shares[[1, 3]] < 1).all()


def test_an_image_is_mixed_by_its_own_key():
    images = constant_images(6)
    _, shares = MIX(images, KEYS[:6], EVERY[:6], mixup=0.4, cutmix=0.4)
    _, turned = MIX(images[::-1], KEYS[:6][::-1], EVERY[:6], mixup=0.4, cutmix=0.4)
    np.testing.assert_array_equal(shares, turned[::-1])
