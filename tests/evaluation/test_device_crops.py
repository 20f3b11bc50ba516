"""Tests of crops against arrays written by hand; pixel values encode positions."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.preprocessing import Preprocessing
from flax_vision.evaluation.device_crops import average_crops, map_crops, resize_images
from flax_vision.evaluation.protocols import Box, Crop, default_scales, find_protocol, make_crops

PLAIN = Preprocessing([0.0], [1.0])


def coordinates(height: int, width: int) -> np.ndarray:
    """Returns two images; a pixel is 10 times its row plus its column, or 100 more."""
    rows, columns = np.mgrid[:height, :width]
    image = (10 * rows + columns).astype(np.uint8)
    return np.stack([image, image + 100])[..., None]


def crop_pixels(crops, images, scale, preprocessing=PLAIN) -> np.ndarray:
    """Returns the input of a model, [crops, N, height, width, C]."""
    resized = {scale: resize_images(images, scale, preprocessing)}
    return np.asarray(map_crops(lambda x: x, resized, list(crops)))


def test_ten_crops_to_the_pixel():
    crops = make_crops(find_protocol("ten_crop", False), (4, 5), 2, (4,))
    first = crop_pixels(crops, coordinates(4, 5), 4)[:, 0, :, :, 0]
    expected = [
        [[0, 1], [10, 11]],
        [[1, 0], [11, 10]],
        [[3, 4], [13, 14]],
        [[4, 3], [14, 13]],
        [[20, 21], [30, 31]],
        [[21, 20], [31, 30]],
        [[23, 24], [33, 34]],
        [[24, 23], [34, 33]],
        [[11, 12], [21, 22]],
        [[12, 11], [22, 21]],
    ]
    np.testing.assert_array_equal(first, expected)


def test_every_image_of_a_batch_is_cropped():
    crops = make_crops(find_protocol("ten_crop", False), (4, 5), 2, (4,))
    both = crop_pixels(crops, coordinates(4, 5), 4)
    np.testing.assert_array_equal(both[:, 1], both[:, 0] + 100)


def test_grid_to_the_pixel():
    crops = make_crops(find_protocol("multi_crop", False), (5, 9), 1, (5,), flip=False)
    first = crop_pixels(crops, coordinates(5, 9), 5)[:, 0, 0, 0, 0]
    expected = [10 * row + column for row in range(5) for column in (0, 2, 4, 6, 8)]
    np.testing.assert_array_equal(first, expected)


def test_googlenet_to_the_pixel():
    images = coordinates(4, 12)
    crops = make_crops(find_protocol("googlenet_144", False), (4, 12), 2, (4,), flip=False)
    first = crop_pixels(crops, images, 4)[:, 0, :, :, 0]
    center = [np.array([[t, t + 1], [t + 10, t + 11]]) for t in (4, 6, 24, 26, 15)]
    np.testing.assert_array_equal(first[6:11], center)
    # Half the size, bilinearly: a pixel averages those within 2 of its center by distance.
    weights = np.array([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
    square = weights @ images[0, :, 4:8, 0] @ weights.T
    np.testing.assert_allclose(first[11], square, atol=1e-5)


def test_squares_are_resized_to_the_pixel():
    # A linear ramp stays linear: away from the borders, half the size has the mean of each pair.
    image = np.broadcast_to(np.arange(16, dtype=np.uint8), (16, 16))[None, ..., None]
    crop = Crop(16, Box(0, 0, 16, 16), (8, 8), False)
    row = crop_pixels([crop], image, 16)[0, 0, 4, 1:-1, 0]
    np.testing.assert_allclose(row, np.arange(1, 7) * 2 + 0.5, atol=1e-5)


def test_crops_of_several_scales_come_in_order():
    images = np.full((1, 4, 4, 1), 7, np.uint8)
    resized = {4: resize_images(images, 4, PLAIN), 6: 10 * resize_images(images, 6, PLAIN)}
    crops = [Crop(scale, Box(1, 1, 2, 2), (2, 2), False) for scale in (6, 4, 6)]
    first = np.asarray(map_crops(lambda x: x[0, 0, 0, 0], resized, crops))
    np.testing.assert_allclose(first, [70, 7, 70], rtol=1e-6)


def test_resize_keeps_the_proportion_and_ignores_the_sizes_of_the_preprocessing():
    preprocessing = Preprocessing([10.0], [2.0], resize=99, channels=3, crop=98)
    whole = resize_images(np.full((1, 4, 6, 1), 30, np.uint8), 8, preprocessing)
    chex.assert_shape(whole, (1, 8, 12, 3))
    np.testing.assert_allclose(whole, 10, rtol=1e-6)


def test_resize_to_the_same_size_keeps_the_pixels():
    images = coordinates(4, 5)
    np.testing.assert_array_equal(resize_images(images, 4, PLAIN), images)


@pytest.mark.parametrize(("height", "width", "scale"), [(4, 4, 4), (4, 4, 7), (4, 8, 6)])
def test_mean_image_is_resized_like_the_images(height, width, scale):
    """The mean of the images, less the mean image, is 0 at every size and in every crop."""
    images = np.random.default_rng(0).integers(0, 256, (8, height, width, 3), np.uint8)
    mean = images.astype(np.float32).mean(axis=0)
    whole = resize_images(images, scale, Preprocessing(mean, [1.0]))
    np.testing.assert_allclose(whole.mean(axis=0), 0, atol=1e-3)
    assert float(jnp.abs(whole).max()) > 10


def test_mean_image_is_resized_to_the_size_of_the_images():
    mean = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    images = np.zeros((1, 6, 6, 1), np.uint8)
    whole = resize_images(images, 3, Preprocessing(mean, [1.0], resize=3))
    np.testing.assert_array_equal(whole[0], -mean)


def first_pixels(x):
    """A model of two classes; its logits are the first two pixels of the first row."""
    return x[:, 0, :2, 0]


def test_probabilities_are_averaged_not_logits():
    images = np.array([[[[0], [3]], [[1], [1]]]], np.uint8)
    crops = {Crop(2, Box(0, 0, 2, 2), (2, 2), flip): 1 for flip in (False, True)}
    log_means = average_crops(first_pixels, images, crops, PLAIN)
    np.testing.assert_allclose(np.exp(log_means), [[0.5, 0.5]], rtol=1e-6)
    crops[Crop(2, Box(0, 0, 2, 2), (2, 2), False)] = 3
    small, large = 1 / (1 + np.exp(3)), 1 / (1 + np.exp(-3))
    log_means = average_crops(first_pixels, images, crops, PLAIN)
    expected = [[(3 * small + large) / 4, (3 * large + small) / 4]]
    np.testing.assert_allclose(np.exp(log_means), expected, rtol=1e-5)


def test_probabilities_too_small_for_float32_keep_their_order():
    images = np.array([[[[0], [200]], [[1], [1]]]], np.uint8)
    crops = {Crop(2, Box(0, 0, 2, 2), (2, 2), False): 1}
    log_means = average_crops(first_pixels, images, crops, PLAIN)
    np.testing.assert_allclose(log_means, [[-200, 0]])


def test_crops_of_several_shapes_are_averaged():
    images = np.array([[[[0], [3]], [[1], [1]]]], np.uint8)
    whole = Crop(2, Box(0, 0, 2, 2), (2, 2), False)
    larger = Crop(4, Box(0, 0, 4, 4), (4, 4), True)
    probabilities = [
        np.exp(average_crops(first_pixels, images, {crop: 1}, PLAIN)) for crop in (whole, larger)
    ]
    both = np.exp(average_crops(first_pixels, images, {larger: 1, whole: 1}, PLAIN))
    np.testing.assert_allclose(both, np.mean(probabilities, axis=0), rtol=1e-6)


def test_center_of_ten_crops_is_the_center_crop_of_the_preprocessing():
    preprocessing = Preprocessing([5.0], [2.0], resize=9, crop=6)
    images = coordinates(9, 9)
    protocol = find_protocol("ten_crop", False)
    crops = make_crops(protocol, (9, 9), 6, default_scales(protocol, 6, 9), flip=False)
    np.testing.assert_array_equal(
        crop_pixels(crops, images, 9, preprocessing)[4], preprocessing(images)
    )


def test_logits_can_be_averaged_instead():
    images = np.array([[[0, 4], [8, 2]]], np.uint8).reshape(1, 2, 2, 1)
    whole, flipped = (Crop(2, Box(0, 0, 2, 2), (2, 2), flip) for flip in (False, True))
    scores = average_crops(first_pixels, images, {whole: 3, flipped: 1}, PLAIN, average_logits=True)
    np.testing.assert_allclose(scores, [[1, 3]])
