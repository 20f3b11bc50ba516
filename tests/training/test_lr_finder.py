"""The learning rate range test, on constructed curves and on the digits."""

import numpy as np
import pytest

from flax_vision.errors import UserError
from flax_vision.training.build import build_experiment
from flax_vision.training.lr_finder import (
    _with_rates,
    analyze,
    check_range,
    find_learning_rate,
    smooth,
)

RATES = np.geomspace(1e-6, 10, 71)  # ten rates for each factor of ten


def test_smoothed_loss_is_a_weighted_mean():
    losses = np.array([3.0, 1.0, 2.0])
    weights = 0.9 ** np.arange(3)[::-1]
    assert smooth(losses)[-1] == pytest.approx(np.average(losses, weights=weights))
    assert smooth(np.full(50, 7.0)) == pytest.approx(7.0)


def valley(lowest, width=1.5):
    """Losses that fall to a minimum at the rate `lowest`, and rise again."""
    return 3 - 2 * np.exp(-(np.log10(RATES / lowest) ** 2) / (2 * width**2))


def test_suggestion_is_the_steepest_descent_without_the_delay_of_the_average():
    test = analyze(RATES, valley(0.1))
    assert 0.1 < RATES[test.smoothed.argmin()] < 1  # the average is late by several steps
    assert abs(np.log10(test.suggestion / (0.1 / 10**1.5))) <= 0.4
    assert test.is_complete


def test_loss_that_is_not_finite_ends_the_curve():
    losses = valley(0.1)[:60]
    test = analyze(RATES, np.append(losses, np.nan))
    assert len(test.rates) == len(test.losses) == len(test.smoothed) == 60
    assert not test.is_complete


@pytest.mark.parametrize("last", [np.nan, np.inf, 1e9])
def test_divergence_at_once_says_what_to_do(last):
    with pytest.raises(UserError, match="diverges before it falls, at rate 1.6e-06, .*--min-lr b"):
        analyze(RATES, np.array([3.0, 3.0, last]))


def test_first_loss_that_is_not_finite():
    with pytest.raises(UserError, match="diverges before it falls, at rate 1e-06, step 1; give a"):
        analyze(RATES, np.array([np.nan]))


def test_loss_that_falls_at_no_rate():
    with pytest.raises(
        UserError, match="falls at no rate from 1e-06 to 10; give a higher --max-lr"
    ):
        analyze(RATES, np.full(71, 2.3))


@pytest.mark.parametrize("rates", [(0.0, 1.0), (1.0, 1.0), (1.0, np.inf), (np.nan, 1.0)])
def test_rates_that_do_not_rise(rates):
    with pytest.raises(UserError, match="give a first rate above 0 and a last rate"):
        check_range(*rates, 100)


def test_too_few_steps():
    with pytest.raises(UserError, match="the test has 9 steps, .* give at least 10"):
        check_range(1e-6, 10.0, 9)


@pytest.mark.slow
def test_digits(config):
    progress = []
    test = find_learning_rate(config, 1e-3, 10.0, 30, lambda *report: progress.append(report))
    assert 0.001 <= test.suggestion < 0.1
    assert test.losses[0] == pytest.approx(2.3, abs=0.3)
    assert progress[-1][0] == "steps"
    assert len(test.rates) <= progress[-1][1] <= 30


def test_each_rate_is_used_for_the_batches_of_one_step(config):
    functions = build_experiment(config, lambda *report: None).functions
    schedule = _with_rates(functions, np.array([1.0, 2.0, 4.0]), accumulated=2).spec.schedule
    steps = np.arange(6, dtype=np.int32)
    assert [float(schedule(step)) for step in steps] == [1, 1, 2, 2, 4, 4]


@pytest.mark.slow
def test_digits_with_curvature(config):
    config.update_from_flattened_dict(
        {
            "model.name": "lenet5",
            "loss.name": "lenet5_map",
            "optimizer.name": "levenberg_marquardt",
            "optimizer.curvature_samples": 32,
        }
    )
    test = find_learning_rate(config, 1e-4, 1.0, 10)
    assert test.smoothed.min() < test.smoothed[0]
