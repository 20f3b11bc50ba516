"""LeNet-5 along a field of any width, against LeNet-5 at each position."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from abstract import quick_key

import flax_vision as fv
from flax_vision.errors import UserError
from flax_vision.models.lenet_sdnn import OUTPUT_STRIDE, space_displacement

WIDTH = 47  # four positions, and three columns that are left over


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return random.uniform(-0.1, 1.175, (2, 32, WIDTH, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return fv.create_model("lenet5", initialization="efficient_backprop")


@pytest.fixture(scope="module")
def variables(model, images):
    return jax.jit(model.init)(quick_key(), images[:, :, :32])


@pytest.fixture(scope="module")
def scan(model):
    return jax.jit(space_displacement(model).apply)


def windows(images):
    """Returns the windows of all positions [positions * N, 32, 32, 1], by position."""
    starts = range(0, images.shape[2] - 31, OUTPUT_STRIDE)
    return np.concatenate([images[:, :, start : start + 32] for start in starts])


def test_scores_are_those_of_each_window(model, variables, images, scan):
    scores = scan(variables, images)
    expected = jax.jit(model.apply)(variables, windows(images)).reshape(4, 2, 10)
    assert scores.shape == (2, 4, 10)
    np.testing.assert_allclose(scores, expected.swapaxes(0, 1), rtol=1e-6, atol=1e-4)


def test_a_score_depends_only_on_its_window(variables, images, scan):
    changed = images.copy()
    changed[:, :, 36:40] += 1  # in the windows of all positions but the first
    changed[:, :, 44:] += 1  # in none
    before, after = np.asarray(scan(variables, images)), np.asarray(scan(variables, changed))
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert (before[:, 2:] != after[:, 2:]).all()


@pytest.mark.slow
def test_modern_form(images):
    model = fv.create_model("lenet5_modern", num_classes=3)
    variables = jax.jit(model.init)(quick_key(), images[:, :, :32])
    scores = jax.jit(space_displacement(model).apply)(variables, images)
    expected = jax.jit(model.apply)(variables, windows(images)).reshape(4, 2, 3)
    np.testing.assert_allclose(scores, expected.swapaxes(0, 1), rtol=1e-4, atol=1e-5)


def test_variables_and_options_are_those_of_the_model():
    model = fv.create_model("lenet5", num_classes=4, codes="random", trainable_codes=True)
    displaced = space_displacement(model)
    assert (displaced.codes, displaced.trainable_codes) == ("random", True)
    shapes = [
        jax.eval_shape(form.init, quick_key(), jnp.zeros((1, 32, width, 1)))
        for form, width in ((model, 32), (displaced, 64))
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 28, 60, 1), "at least 32x32"), ((1, 36, 60, 1), "images are 36 pixels high.*takes 32")],
)
def test_errors_for_images(model, shape, message):
    with pytest.raises(ValueError, match=message):
        space_displacement(model).init(quick_key(), jnp.zeros(shape))


def test_error_for_another_model():
    with pytest.raises(UserError, match="a LeNet4 has no space displacement form; give lenet5"):
        space_displacement(fv.create_model("lenet4"))
