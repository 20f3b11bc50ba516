import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_vision.data.augmentation import Augmentation
from flax_vision.data.preprocessing import Preprocessing

KEYS = jax.random.split(jax.random.key(0), 400)
PLAIN = Preprocessing((0.0,), (1.0,))
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 10, 3), np.uint8)
EVERYTHING = {
    "random_affine": 0.5,
    "rotation": 10.0,
    "trivial_augment": True,
    "color_jitter": 0.4,
    "hue": 0.1,
    "pad_and_crop": 2,
    "flip": True,
    "vertical_flip": True,
    "random_erasing": 0.5,
}


def augment(images, keys=KEYS[:8], preprocessing=PLAIN, **settings):
    """Returns the augmented images of the compiled augmentation."""
    augmentation = Augmentation(**settings)
    return np.asarray(jax.jit(lambda x, keys: augmentation(x, keys, preprocessing))(images, keys))


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


def test_default_augmentation_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2), np.uint8)
    augmented = Augmentation()(jnp.asarray(images), KEYS[:3], PLAIN)
    np.testing.assert_array_equal(augmented, images)


def test_random_numbers_of_old_recipes_stay_the_same():
    """A run that was stopped before a new augmentation existed resumes with the same images."""
    corner = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1).repeat(12, axis=0)
    keys = jax.vmap(lambda index: jax.random.fold_in(jax.random.key(7), index))(np.arange(12))
    shifted = augment(corner, keys, pad_and_crop=2, flip=True)
    assert shifted[:, 3, 2:4, 0].astype(int).tolist() == [
        [33, 32],
        [28, 27],
        [16, 15],
        [7, 6],
        [28, 29],
        [14, 15],
        [25, 24],
        [28, 27],
        [27, 26],
        [11, 10],
        [35, 34],
        [25, 24],
    ]


@pytest.mark.slow
def test_an_augmentation_does_not_change_the_random_numbers_of_others():
    alone = augment(PIXELS, flip=True, pad_and_crop=2)
    erased = augment(PIXELS, flip=True, pad_and_crop=2, random_erasing=1.0)
    kept = erased != 0
    np.testing.assert_array_equal(erased[kept], alone[kept])
    assert 0.3 < kept.mean() < 0.95


@pytest.mark.slow
def test_everything_changes_gray_images_as_equal_colors():
    gray = PIXELS[..., :1]
    ours, colored = (augment(x, **EVERYTHING) for x in (gray, gray.repeat(3, axis=3)))
    for augmented, channels in ((ours, 1), (colored, 3)):
        assert augmented.shape == (8, 12, 10, channels)
        assert augmented.dtype == np.float32
        assert augmented.min() >= 0
        assert augmented.max() <= 255
    # The weights of the colors do not add up to 1 exactly.
    close = np.abs(ours - colored) < 0.01
    assert close.mean() > 0.99  # an equalized image may have other steps


def test_erased_pixels_are_the_mean():
    normalized = Preprocessing((100.0,), (50.0,))
    erased = augment(PIXELS, preprocessing=normalized, random_erasing=1.0)
    plain = (PIXELS.astype(np.float32) - 100) / 50
    kept = np.abs(erased - plain) < 1e-5
    assert (kept | (erased == 0)).all()
    assert 0.01 < (~kept).mean() < 0.33


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixing_is_apart_from_the_other_augmentations(name):
    augmentation = Augmentation(flip=True, **{name: 0.5})
    assert augmentation.mixes
    assert not Augmentation(**EVERYTHING).mixes
    np.testing.assert_array_equal(
        augment(PIXELS, flip=True), augment(PIXELS, flip=True, **{name: 0.5})
    )
