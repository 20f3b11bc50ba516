"""Strings of digits: how they are made, and the best path of digits and blanks."""

import itertools

import jax
import numpy as np
import pytest

import flax_vision as fv
from flax_vision.analysis.digit_strings import best_digits, make_string, read_string
from flax_vision.data.mnist_5k import load_mnist_5k
from flax_vision.errors import UserError


@pytest.fixture(scope="module")
def digits():
    random = np.random.default_rng(0)
    images = random.integers(1, 256, (12, 28, 28, 1), np.uint8)
    return images, np.arange(12, dtype=np.int32) % 10


def test_string_of_separate_digits(digits):
    images, labels = digits
    string, truth = make_string(images, labels, 3, seed=0, distance=30)
    assert string.shape == (32, 92, 1)  # 32 + 2 * 30
    assert string.dtype == np.uint8
    for index, label in enumerate(truth):
        start = 2 + 30 * index
        part = string[2:30, start : start + 28]
        (found,) = [i for i, image in enumerate(images) if np.array_equal(part, image)]
        assert labels[found] == label
    assert not string[:2].any()
    assert not string[:, 30:32].any()


def test_overlapping_digits_keep_the_brighter_pixels(digits):
    string, _ = make_string(*digits, 2, seed=1, distance=9)
    assert string.shape == (32, 44, 1)  # 41, and three columns for whole positions
    apart, _ = make_string(*digits, 2, seed=1, distance=28)
    first, second = apart[:, 2:30], apart[:, 30:58]
    overlap = np.maximum(first[:, 9:], second[:, :19])
    np.testing.assert_array_equal(string[:, 11:30], overlap)


def test_strings_of_a_seed_are_the_same(digits):
    strings = [make_string(*digits, 4, seed) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(strings[0][0], strings[1][0])
    assert strings[0][1] == strings[1][1] != strings[2][1]


@pytest.mark.parametrize(
    ("count", "distance", "message"),
    [
        (0, 24, "count is 0; give a number of digits from 1 to 12"),
        (13, 24, "count is 13"),
        (2, 0, "distance is 0; give a number of pixels"),
    ],
)
def test_errors_of_strings(count, distance, message, digits):
    with pytest.raises(UserError, match=message):
        make_string(*digits, count, 0, distance)


def test_error_for_large_digits():
    with pytest.raises(UserError, match="the digits are 33x20; give images of at most 32x32"):
        make_string(np.zeros((2, 33, 20, 1), np.uint8), np.zeros(2, np.int32), 1, 0)


def test_path_of_two_digits():
    scores = np.full((9, 3), -50.0)
    scores[1, 2], scores[2, 0], scores[6, 1] = -5, -20, -8
    assert best_digits(scores, -30, 5) == (1, 6)
    assert best_digits(scores, -7, 5) == (1,)
    assert best_digits(scores, -30, 1) == (1, 2, 6)
    assert best_digits(scores, -4, 5) == ()


@pytest.mark.parametrize("seed", range(5))
def test_path_is_the_best_of_all(seed):
    """Compares the sum with every set of positions that are far enough apart."""
    scores = np.random.default_rng(seed).uniform(-60, 0, (11, 2))
    gains, distance = scores.max(axis=1) + 30, 3
    sums = [
        sum(gains[list(positions)])
        for count in range(5)
        for positions in itertools.combinations(range(11), count)
        if all(b - a >= distance for a, b in itertools.pairwise(positions))
    ]
    found = best_digits(scores, -30, distance)
    assert all(b - a >= distance for a, b in itertools.pairwise(found))
    assert sum(gains[list(found)]) == pytest.approx(max(sums))


def test_error_for_a_distance_of_no_position():
    with pytest.raises(UserError, match="min_distance is 0; give at least 1"):
        best_digits(np.zeros((3, 2)), -1, 0)


@pytest.mark.slow
def test_reading_has_the_classes_and_scores_of_its_positions():
    model = fv.create_model("lenet5_modern")
    random = np.random.default_rng(0)
    image = random.uniform(-0.1, 1.175, (32, 60, 1)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0, impl="unsafe_rbg"), image[None, :, :32])
    reading = read_string(model, variables, image, blank=-9.0, min_distance=4)
    assert reading.scores.shape == (8, 10)
    assert len(reading.positions) == 2  # every position is better than a blank
    assert reading.digits == tuple(reading.scores[list(reading.positions)].argmax(axis=1))


@pytest.mark.slow
@pytest.mark.usefixtures("full_optimization")
def test_trained_lenet5_reads_strings_without_cutting_them(tmp_path):
    """The strings of five are right about as often as five single digits are."""
    run = fv.train("lenet5", tmp_path, overrides={"epochs": 15})
    _, test = load_mnist_5k()
    strings = [make_string(test.images, test.labels, 5, seed) for seed in range(100)]
    right = 0
    for string, truth in strings:
        image = (string.astype(np.float32) - 20) / 200
        right += read_string(run.model, run.variables, image).digits == truth
    assert right / 100 > run.result["test/top1"] ** 5 - 0.2
