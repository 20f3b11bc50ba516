import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.color import color_jitter, random_hue, shift_hue

KEYS = jax.random.split(jax.random.key(0), 400)


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


def test_no_jitter_at_no_strength():
    image = np.random.default_rng(0).uniform(0, 255, (4, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(color_jitter(image, KEYS[0], 0.0), image, atol=1e-3)


@pytest.mark.parametrize("shift", [-0.5, -0.1, 0.0, 0.25, 0.5])
def test_hue_is_shifted_as_in_hsv(shift):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (6, 5, 3)).astype(np.float32)
    image[0] = 128  # gray
    image[1, :, 1] = image[1, :, 0]  # two equal channels
    shifted = np.asarray(shift_hue(image, jnp.float32(shift)))
    for before, after in zip(image.reshape(-1, 3), shifted.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before / 255)
        expected = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        np.testing.assert_allclose(after / 255, expected, atol=2e-5)


def test_shifts_of_the_hue_are_uniform_and_gray_images_keep_their_pixels():
    red = np.zeros((1, 1, 3), np.float32) + np.array([200, 0, 0], np.float32)
    turn = jax.jit(jax.vmap(random_hue, in_axes=(None, 0, None)))
    colors = np.asarray(turn(red, KEYS, 0.1))[:, 0, 0] / 255
    hues = np.array([(colorsys.rgb_to_hsv(*color)[0] + 0.5) % 1 - 0.5 for color in colors])
    assert 0.097 < hues.max() <= 0.1001
    assert -0.1001 <= hues.min() < -0.097
    assert abs(hues.mean()) < 0.01
    np.testing.assert_array_equal(turn(red[..., :1], KEYS[:3], 0.1), np.stack([red[..., :1]] * 3))
