from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.augmentation import (
    Augmentation,
    color_jitter,
    random_affine,
    random_crop,
    random_flip,
)
from flax_vision.data.preprocessing import Preprocessing

KEYS = jax.random.split(jax.random.key(0), 400)
PLAIN = Preprocessing((0.0,), (1.0,))
PIXELS = np.arange(5 * 6 * 2, dtype=np.float32).reshape(5, 6, 2)


def test_crops_are_all_of_the_image_and_equally_frequent():
    crops = jax.jit(jax.vmap(partial(random_crop, size=(3, 4)), in_axes=(None, 0)))(PIXELS, KEYS)
    corners = np.asarray(crops[:, 0, 0, 0]) / 2
    offsets, counts = np.unique(corners, return_counts=True)
    assert offsets.tolist() == [6 * top + left for top in range(3) for left in range(3)]
    assert counts.min() > 400 / 9 / 2
    for crop, corner in zip(crops[:20], corners, strict=False):
        top, left = divmod(int(corner), 6)
        np.testing.assert_array_equal(crop, PIXELS[top : top + 3, left : left + 4])


def test_half_of_the_images_are_mirrored():
    flipped = np.asarray(jax.jit(jax.vmap(random_flip, in_axes=(None, 0)))(PIXELS, KEYS))
    mirrored = (flipped == PIXELS[:, ::-1]).all(axis=(1, 2, 3))
    assert ((flipped == PIXELS).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_padding_is_of_the_normalized_image():
    images = np.full((400, 2, 2, 1), 50, np.uint8)
    gray = Preprocessing((30.0,), (10.0,))
    augmented = np.asarray(
        jax.jit(lambda x, keys: Augmentation(pad_and_crop=1)(x, keys, gray))(images, KEYS)
    )
    assert augmented.shape == images.shape
    assert np.unique(augmented).tolist() == [0, 2]
    # Each shift by one pixel down and right, in all 9 combinations.
    assert len(np.unique(augmented.reshape(400, -1), axis=0)) == 9


def test_crop_of_the_preprocessing_lies_anywhere():
    images = np.arange(400 * 16, dtype=np.uint8).reshape(400, 4, 4, 1)
    center = Preprocessing((0.0,), (1.0,), crop=2)
    augmented = jax.jit(lambda x, keys: Augmentation()(x, keys, center))(images, KEYS)
    assert augmented.shape == (400, 2, 2, 1)
    offsets = np.asarray(augmented)[:, 0, 0, 0].astype(np.uint8) - images[:, 0, 0, 0]
    assert sorted(set(offsets.tolist())) == [4 * y + x for y in range(3) for x in range(3)]


def test_color_noise_is_along_the_components():
    images = np.full((400, 2, 3, 3), 100, np.uint8)
    augmentation = Augmentation(pca_noise=0.1, pca_components=((30.0, 40.0, 0.0), (0.0, 0.0, 5.0)))
    augmented = jax.jit(lambda x, keys: augmentation(x, keys, PLAIN))(images, KEYS)
    added = np.asarray(augmented) - 100
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1, :1], added.shape), atol=1e-4)
    added = added[:, 0, 0]
    np.testing.assert_allclose(added[:, 0] * 4, added[:, 1] * 3, atol=1e-3)
    assert added.std(axis=0) == pytest.approx([3.0, 4.0, 0.5], rel=0.12)
    assert abs(np.corrcoef(added[:, 0], added[:, 2])[0, 1]) < 0.15


def test_no_distortion_at_no_strength():
    np.testing.assert_allclose(random_affine(PIXELS, KEYS[0], 0.0), PIXELS, atol=1e-4)
    image = np.random.default_rng(0).uniform(0, 255, (4, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(color_jitter(image, KEYS[0], 0.0), image, atol=1e-3)


def moments(images):
    """Returns the center of mass and the covariance of images [N, H, W]."""
    mass = images.sum(axis=(1, 2))
    height, width = images.shape[1:]
    weights = images / mass[:, None, None]
    y = (weights * np.arange(height)[:, None]).sum(axis=(1, 2))
    x = (weights * np.arange(width)).sum(axis=(1, 2))
    deltas = np.arange(height)[None] - y[:, None], np.arange(width)[None] - x[:, None]
    yy = np.einsum("nhw,nh->n", weights, deltas[0] ** 2)
    xx = np.einsum("nhw,nw->n", weights, deltas[1] ** 2)
    yx = np.einsum("nhw,nh,nw->n", weights, *deltas)
    return y, x, yy, xx, yx


def test_affine_map_has_the_documented_amounts():
    """Compares the center and the covariance of a Gaussian blob."""
    size, sigma = 41, 4.0
    ramp = np.arange(size) - (size - 1) / 2
    blob = np.exp(-(ramp[:, None] ** 2 + ramp**2) / (2 * sigma**2)).astype(np.float32)
    moved = jax.jit(jax.vmap(lambda key: random_affine(blob[..., None], key, 1.0)))(KEYS)
    y, x, yy, xx, yx = moments(np.asarray(moved)[..., 0])
    for offsets in (y - ramp[-1], x - ramp[-1]):
        assert np.abs(offsets).max() < 0.07 * size + 0.3
        assert np.abs(offsets).max() > 0.06 * size
    # The area is multiplied by exp(scale) squared: squeezing and shearing keep it.
    area = np.log(np.sqrt(yy * xx - yx**2) / sigma**2) / 2
    assert np.abs(area).max() > 0.13
    assert np.abs(area).max() < 0.17
    # A shear of s makes the covariance s times the variance along the height.
    assert 0.17 < np.abs(yx / yy).max() < 0.27
    squeeze = np.log(yy / (xx - yx**2 / yy)) / 4
    assert 0.13 < np.abs(squeeze).max() < 0.17


def test_color_jitter_factors():
    gray = np.full((2, 2, 3), 100, np.float32)
    augmented = jax.jit(jax.vmap(lambda key: color_jitter(gray, key, 0.5)))(KEYS)
    # A uniform gray image has neither contrast nor color: only its brightness changes.
    factors = np.asarray(augmented)[:, 0, 0, 0] / 100
    np.testing.assert_allclose(np.asarray(augmented).std(axis=(1, 2, 3)), 0, atol=1e-3)
    assert 0.5 <= factors.min() < 0.53
    assert 1.47 < factors.max() <= 1.5
    assert factors.mean() == pytest.approx(1, abs=0.05)


def test_color_jitter_changes_gray_images_as_equal_colors():
    gray = np.random.default_rng(0).uniform(0, 255, (4, 5, 1)).astype(np.float32)
    change = jax.jit(jax.vmap(color_jitter, in_axes=(None, 0, None)))
    augmented, colored = (change(image, KEYS, 0.5) for image in (gray, np.tile(gray, (1, 1, 3))))
    np.testing.assert_allclose(augmented, colored[..., :1], atol=1e-3)


def test_color_jitter_keeps_pixels_in_their_range():
    image = np.random.default_rng(0).uniform(0, 255, (4, 5, 3)).astype(np.float32)
    augmented = np.asarray(jax.jit(jax.vmap(lambda key: color_jitter(image, key, 0.5)))(KEYS))
    assert augmented.min() >= 0
    assert augmented.max() <= 255
    assert len(np.unique(augmented[:, 0, 0, 0])) > 300


def test_default_augmentation_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2), np.uint8)
    augmented = Augmentation()(jnp.asarray(images), KEYS[:3], PLAIN)
    np.testing.assert_array_equal(augmented, images)
