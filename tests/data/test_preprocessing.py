import chex
import jax.numpy as jnp
import numpy as np

from flax_vision.data.preprocessing import Preprocessing


def test_lenets_gray_levels():
    pixels = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
    scaled = Preprocessing((20.0,), (200.0,))(pixels)
    chex.assert_type(scaled, jnp.float32)
    np.testing.assert_allclose(scaled.ravel(), [-0.1, 1.175], rtol=1e-6)


def test_each_channel_has_its_own_mean_and_deviation():
    pixels = np.full((2, 1, 1, 3), 100, np.uint8)
    scaled = Preprocessing((100.0, 90.0, 0.0), (1.0, 5.0, 50.0))(pixels)
    np.testing.assert_allclose(scaled, np.broadcast_to([0, 2, 2], (2, 1, 1, 3)))


def test_mean_may_be_an_image():
    mean = np.arange(12.0).reshape(2, 2, 3)
    pixels = np.full((4, 2, 2, 3), 20, np.uint8)
    scaled = Preprocessing(mean.tolist(), (2.0,))(pixels)
    np.testing.assert_allclose(scaled, np.broadcast_to((20 - mean) / 2, pixels.shape))


def test_resizing_is_bilinear():
    ramp = np.array([0, 100], np.uint8).reshape(1, 1, 2, 1).repeat(2, axis=1)
    scaled = Preprocessing((0.0,), (1.0,), resize=4)(ramp)
    np.testing.assert_allclose(scaled[0, :, :, 0], [[0, 25, 75, 100]] * 4)


def test_resizing_to_less_does_not_skip_pixels():
    checks = (255 * (np.indices((8, 8)).sum(axis=0) % 2)).astype(np.uint8)[None, ..., None]
    small = Preprocessing((0.0,), (1.0,), resize=4)(checks)
    np.testing.assert_allclose(small[0, 1:-1, 1:-1], 127.5, rtol=0.05)


def test_gray_becomes_color_and_color_stays():
    gray = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    color = Preprocessing((0.0,), (1.0,), channels=3)
    np.testing.assert_array_equal(color(gray), np.broadcast_to(gray, (1, 2, 2, 3)))
    rgb = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    np.testing.assert_array_equal(color(rgb), rgb)


def test_crop_is_the_center():
    pixels = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1)
    crops = Preprocessing((0.0,), (1.0,), crop=2)(pixels)
    np.testing.assert_array_equal(crops[0, ..., 0], [[14, 15], [20, 21]])
