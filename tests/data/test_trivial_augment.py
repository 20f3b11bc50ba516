"""Operations against PIL's on random images, and the choice of operations and magnitudes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from flax_vision.data import trivial_augment as ours
from flax_vision.data.trivial_augment import OPERATIONS, apply_operation, trivial_augment

NAMES = list(OPERATIONS)
APPLY = jax.jit(apply_operation)
ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}
PIL_OPERATIONS = {
    "posterize": lambda image, magnitude: ImageOps.posterize(image, int(magnitude)),
    "solarize": ImageOps.solarize,
    "autocontrast": lambda image, magnitude: ImageOps.autocontrast(image),
    "equalize": lambda image, magnitude: ImageOps.equalize(image),
} | {
    name: lambda image, magnitude, enhancer=enhancer: enhancer(image).enhance(1 + magnitude)
    for name, enhancer in ENHANCERS.items()
}


def random_image(channels):
    """Returns a smooth image with noise and less than the whole range of values."""
    random = np.random.default_rng(0)
    plane = np.add.outer(np.linspace(20, 120, 24), np.linspace(0, 60, 20))[..., None]
    return (plane + random.integers(0, 40, (24, 20, channels))).astype(np.uint8)


def of_pil(image, name, magnitude):
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    return np.asarray(PIL_OPERATIONS[name](picture, magnitude)).reshape(image.shape)


def apply(image, name, magnitude):
    pixels = jnp.asarray(image, jnp.float32)
    return np.asarray(APPLY(pixels, jnp.int32(NAMES.index(name)), jnp.float32(magnitude)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PIL_OPERATIONS)
def test_values_match_pil(name, channels):
    image = random_image(channels)
    # PIL rounds to integers, some of them twice.
    tolerance = {"posterize": 0, "solarize": 0, "equalize": 0}.get(name, 2)
    magnitudes = OPERATIONS[name].magnitudes
    for size in magnitudes[[0, 7, 15, 30]]:
        for magnitude in (size, -size) if OPERATIONS[name].is_signed else (size,):
            changed = apply(image, name, magnitude)
            expected = of_pil(image, name, float(magnitude)).astype(np.float32)
            np.testing.assert_allclose(changed, expected, atol=tolerance)
            assert changed.min() >= 0
            assert changed.max() <= 255


def test_flat_images_have_nothing_to_stretch_or_equalize():
    flat = np.full((6, 5, 3), 77, np.uint8)
    for name in ("autocontrast", "equalize"):
        np.testing.assert_array_equal(apply(flat, name, 0), flat)


def test_images_without_inner_pixels_are_not_sharpened():
    narrow = random_image(3)[:, :2]
    changed = ours.sharpness(jnp.asarray(narrow, jnp.float32), jnp.float32(0.5))
    np.testing.assert_array_equal(changed, narrow)


def test_identity():
    image = random_image(3)
    np.testing.assert_array_equal(apply(image, "identity", 0), image)


@pytest.mark.parametrize("magnitude", [5.3, -5.3])
def test_translations_move_whole_pixels_on_a_black_background(magnitude):
    image = random_image(3)
    shift = int(magnitude)
    for name, axis in (("translate_y", 0), ("translate_x", 1)):
        expected = np.roll(image, shift, axis)
        vacated = [slice(None)] * axis + [slice(0, shift) if shift > 0 else slice(shift, None)]
        expected[tuple(vacated)] = 0
        np.testing.assert_array_equal(apply(image, name, magnitude), expected)


@pytest.mark.parametrize("magnitude", [0.99, 0.33, -0.66])
def test_shears_and_rotations_match_pil(magnitude):
    image = random_image(3)
    picture = Image.fromarray(image)
    size, affine, nearest = picture.size, Image.Transform.AFFINE, Image.Resampling.NEAREST
    shears = {"shear_x": (1, magnitude, 0, 0, 1, 0), "shear_y": (1, 0, 0, magnitude, 1, 0)}
    for name, coefficients in shears.items():
        expected = np.asarray(picture.transform(size, affine, coefficients, nearest))
        np.testing.assert_array_equal(apply(image, name, magnitude), expected)
    degrees = 135 * magnitude
    expected = np.asarray(picture.rotate(degrees, nearest))
    differing = (apply(image, "rotate", degrees) != expected).any(axis=2).mean()
    assert differing < 0.01  # ties between two pixels


def test_operations_magnitudes_and_signs_are_equally_frequent():
    keys = jax.random.split(jax.random.key(0), 3000)

    def choose(key):
        drawn = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ours, "apply_operation", lambda image, *drawn_: drawn.extend(drawn_))
            trivial_augment(jnp.zeros((1, 1, 1)), key)
        return tuple(drawn)

    operations, magnitudes = map(np.asarray, jax.jit(jax.vmap(choose))(keys))
    counts = np.bincount(operations, minlength=14)
    assert counts.min() > 3000 / 14 * 0.75
    assert counts.max() < 3000 / 14 * 1.25
    for index, (expected, is_signed) in enumerate(OPERATIONS.values()):
        drawn = magnitudes[operations == index]
        assert set(np.abs(drawn)) <= set(expected)
        assert len(set(np.abs(drawn))) > 0.9 * len(set(expected))
        if is_signed:
            assert 0.35 < (drawn < 0).mean() < 0.65
        else:
            assert (drawn >= 0).all()
