import numpy as np
import pytest

from flax_vision.data import statistics
from flax_vision.data.dataset import ArrayDataset
from flax_vision.data.preprocessing import Preprocessing
from flax_vision.data.statistics import mean_image, pca_components

PLAIN = Preprocessing((0.0,), (1.0,))


def labeled(images):
    return ArrayDataset(images, np.zeros(len(images), np.int32), ["one"])


def ignore(task, done, total):
    """Ignores progress."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(statistics, "_CHUNK", 7)


def test_mean_image():
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 2), np.uint8)
    np.testing.assert_allclose(
        mean_image(labeled(images), PLAIN, ignore), images.mean(axis=0), rtol=1e-6
    )


def test_mean_image_is_of_preprocessed_images():
    images = np.full((9, 4, 4, 1), 80, np.uint8)
    preprocessing = Preprocessing((0.0,), (1.0,), resize=6, channels=3)
    mean = mean_image(labeled(images), preprocessing, ignore)
    np.testing.assert_allclose(mean, np.full((6, 6, 3), 80), rtol=1e-6)


@pytest.mark.parametrize(("scaled_by", "power"), [("eigenvalues", 1.0), ("deviations", 0.5)])
def test_pca_components_of_a_known_covariance(scaled_by, power):
    """Colors along (3, 4, 0) / 5 and (0, 0, 1) with known variances."""
    random = np.random.default_rng(0)
    along, across = random.choice([-1, 1], (2, 50, 8, 8))
    colors = 128 + along[..., None] * np.array([30, 40, 0]) + across[..., None] * [0, 0, 20]
    images = labeled(colors.astype(np.uint8))
    components = pca_components(images, PLAIN, scaled_by, ignore)
    first = (50 / 255) ** (2 * power) * 255
    second = (20 / 255) ** (2 * power) * 255
    lengths = np.linalg.norm(components, axis=1)
    assert sorted(lengths) == pytest.approx([0, second, first], rel=0.05, abs=1e-3)
    longest = components[np.argmax(lengths)]
    assert np.abs(longest / first) == pytest.approx([0.6, 0.8, 0.0], abs=0.02)


def test_gray_images_vary_in_brightness_alone():
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), np.uint8)
    preprocessing = Preprocessing((0.0,), (1.0,), channels=3)
    components = pca_components(labeled(images), preprocessing, "deviations", ignore)
    lengths = np.linalg.norm(components, axis=1)
    assert np.sort(lengths)[:2] == pytest.approx([0, 0], abs=1e-3)
    assert lengths.max() == pytest.approx(images.std() * 3**0.5, rel=1e-4)
