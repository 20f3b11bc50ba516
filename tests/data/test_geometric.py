from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.geometric import (
    random_affine,
    random_crop,
    random_erasing,
    random_flip,
    random_rotation,
    random_vertical_flip,
    rotate,
    sample_nearest,
)

KEYS = jax.random.split(jax.random.key(0), 400)
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


def test_no_distortion_at_no_strength():
    for distort in (random_affine, random_rotation):
        np.testing.assert_allclose(distort(PIXELS, KEYS[0], 0.0), PIXELS, atol=1e-4)


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


def test_half_of_the_images_are_upside_down():
    flipped = np.asarray(jax.jit(jax.vmap(random_vertical_flip, in_axes=(None, 0)))(PIXELS, KEYS))
    turned = (flipped == PIXELS[::-1]).all(axis=(1, 2, 3))
    assert ((flipped == PIXELS).all(axis=(1, 2, 3)) ^ turned).all()
    assert 150 < turned.sum() < 250


def test_rotation_by_right_angles_moves_pixels():
    square = PIXELS[:, :5]
    for turns in range(-2, 3):
        rotated = rotate(square, jnp.float32(90 * turns))
        np.testing.assert_allclose(rotated, np.rot90(square, turns), atol=1e-3)


def test_rotation_is_bilinear_and_black_outside():
    """On a plane of brightness bilinear interpolation is exact."""
    size, angle = 9, np.deg2rad(30)
    ramp = np.arange(size) - (size - 1) / 2
    y, x = ramp[:, None], ramp[None]
    plane = (100 + 3 * y + 2 * x).astype(np.float32)[..., None]
    source_y, source_x = (
        np.cos(angle) * y + np.sin(angle) * x,
        np.cos(angle) * x - np.sin(angle) * y,
    )
    rotated = np.asarray(rotate(plane, jnp.float32(30)))[..., 0]
    inside = (np.abs(source_y) <= ramp[-1]) & (np.abs(source_x) <= ramp[-1])
    np.testing.assert_allclose(
        rotated[inside], (100 + 3 * source_y + 2 * source_x)[inside], rtol=1e-5
    )
    assert rotated[0, 0] == rotated[-1, -1] == 0
    assert 60 < inside.sum() < 81


def test_angles_of_rotations_are_uniform():
    image = np.zeros((33, 33, 1), np.float32)
    image[16, 28] = 1  # to the right of the center
    rotated = jax.jit(jax.vmap(random_rotation, in_axes=(None, 0, None)))(image, KEYS, 30.0)
    y, x, *_ = moments(np.asarray(rotated)[..., 0])
    angles = np.rad2deg(np.arctan2(16 - y, x - 16))
    assert 29 < angles.max() < 31
    assert -31 < angles.min() < -29
    assert abs(np.median(angles)) < 4
    assert angles.std() == pytest.approx(30 / np.sqrt(3), rel=0.1)


def test_nearest_pixels_are_gathered_on_a_background_of_zero():
    rows = np.array([[0.4, 0.6], [-0.6, 4.4]], np.float32)
    columns = np.array([[5.4, 1.0], [0.0, -0.4]], np.float32)
    expected = [[PIXELS[0, 5], PIXELS[1, 1]], [np.zeros(2), PIXELS[4, 0]]]
    np.testing.assert_array_equal(sample_nearest(jnp.asarray(PIXELS), rows, columns), expected)


ERASE = jax.jit(jax.vmap(random_erasing, in_axes=(None, 0, None)))


def erased_boxes(shape, probability):
    """Returns masks of the erased pixels, and the heights and widths of the rectangles."""
    erased = np.asarray(ERASE(np.ones(shape, np.float32), KEYS, probability))
    assert set(np.unique(erased)) <= {0, 1}
    assert (erased == erased[..., :1]).all()
    holes = erased[..., 0] == 0
    heights, widths = holes.any(axis=2).sum(axis=1), holes.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(holes.sum(axis=(1, 2)), heights * widths)  # rectangles
    return holes, heights, widths


@pytest.mark.slow
def test_erased_rectangles_have_the_area_and_ratio_of_the_paper():
    holes, heights, widths = erased_boxes((45, 60, 3), 1.0)
    assert (heights > 0).all()
    shares, ratios = heights * widths / (45 * 60), heights / widths
    assert 0.018 < shares.min() < 0.03
    assert 0.3 < shares.max() < 0.34
    assert shares.mean() == pytest.approx(0.175, abs=0.02)
    assert 0.27 < ratios.min() < 0.4
    assert 2.4 < ratios.max() < 3.7
    assert abs(np.log(ratios).mean()) < 0.15
    assert holes.any(axis=0).mean() > 0.99  # every position


def test_erasing_has_its_probability():
    _, heights, _ = erased_boxes((45, 60, 3), 0.25)
    assert 70 < (heights > 0).sum() < 130
    assert not erased_boxes((45, 60, 3), 0.0)[0].any()


@pytest.mark.slow
def test_rectangles_that_never_fit_are_not_erased():
    """In an image of one row every rectangle with 2 % of its area or more is too high."""
    holes, *_ = erased_boxes((1, 900, 1), 1.0)
    assert not holes.any()
