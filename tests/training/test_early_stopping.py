"""Rules that end a run early."""

import pytest

from flax_vision.training.config_schema import default_config
from flax_vision.training.early_stopping import (
    epochs_without_improvement,
    is_time_over,
    patience_reason,
)


@pytest.mark.parametrize(
    ("scores", "min_delta", "expected"),
    [
        ([], 0.0, 0),
        ([0.5], 0.0, 0),
        ([0.5, 0.5], 0.0, 1),  # equal is not better
        ([0.5, 0.4, 0.6], 0.0, 0),
        ([0.6, 0.4, 0.5, 0.6], 0.0, 3),
        ([0.5, 0.625], 0.125, 1),  # the change must be larger
        ([0.5, 0.625, 0.75], 0.125, 0),  # a slow rise counts
        ([0.5, 0.75, 0.875], 0.125, 1),
        ([-3.0, -2.0, -2.5], 0.0, 1),
    ],
)
def test_epochs_without_improvement(scores, min_delta, expected):
    assert epochs_without_improvement(scores, min_delta) == expected


def stop(**settings):
    config = default_config().stop
    config.update(settings)
    return config


def history(**series):
    length = len(next(iter(series.values())))
    return [
        {"epoch_seconds": 30.0, "validation/top1": 0.5, "validation/loss": 1.0}
        | {f"validation/{name}": values[i] for name, values in series.items()}
        for i in range(length)
    ]


def test_run_without_patience_does_not_end():
    assert patience_reason(stop(), history(top1=[0.5] * 99)) == ""


def test_patience_counts_epochs_without_improvement():
    records = history(top1=[0.5, 0.4, 0.4])
    assert patience_reason(stop(patience=3), records) == ""
    assert patience_reason(stop(patience=2), records) == "no better top1 for 2 epochs"
    assert patience_reason(stop(patience=2), []) == ""


def test_metric_of_the_best_epoch_is_the_default():
    records = history(top1=[0.1, 0.2], f1=[0.5, 0.5])
    for record in records:
        record["best_metric"] = "f1"
    assert patience_reason(stop(patience=1), records) == "no better f1 for 1 epoch"
    assert patience_reason(stop(patience=1, metric="top1"), records) == ""


def test_lower_loss_is_better():
    config = stop(patience=1, metric="loss")
    assert patience_reason(config, history(loss=[2.0, 1.0])) == ""
    assert patience_reason(config, history(loss=[1.0, 2.0])) == "no better loss for 1 epoch"


def test_time_of_all_launches_counts():
    config = stop(after_minutes=1)
    assert not is_time_over(config, history(top1=[0.5]), 29.0)
    assert is_time_over(config, history(top1=[0.5]), 30.0)
    assert is_time_over(config, history(top1=[0.5, 0.5]), 0.0)
    assert not is_time_over(stop(), history(top1=[0.5] * 99), 0.0)


def test_first_epoch_is_always_finished():
    assert not is_time_over(stop(after_minutes=1), [], 1e9)
