import numpy as np
import pytest

from flax_vision.analysis.report.figures.augmented import augment, augmented
from flax_vision.data.augmentation import Augmentation
from flax_vision.data.preprocessing import Preprocessing

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 1), np.uint8)


def test_pixels_are_without_the_normalization():
    preprocessing = Preprocessing((120.0, 110.0, 100.0), (60.0, 50.0, 40.0), channels=3)
    forms = augment(IMAGES, Augmentation(), preprocessing, seed=0, times=2)
    np.testing.assert_array_equal(forms, np.stack([IMAGES.repeat(3, axis=3)] * 2))


@pytest.mark.slow
def test_crops_and_a_mean_of_each_pixel():
    mean = np.full((8, 6, 1), 100.0).tolist()
    forms = augment(IMAGES, Augmentation(flip=True), Preprocessing(mean, (1.0,), crop=6), 0, 4)
    assert forms.shape == (4, 3, 6, 6, 1)
    crops = [IMAGES[0, top : top + 6] for top in range(3)]
    views = [*crops, *(crop[:, ::-1] for crop in crops)]
    assert all(any((form == view).all() for view in views) for form in forms[:, 0])


def test_rows_are_images_and_columns_are_forms():
    forms = np.zeros((6, 4, 8, 6, 3), np.uint8)
    sheet = augmented(forms)
    assert len(sheet.axes[0].images) == 24
    assert sheet.png().startswith(b"\x89PNG")
