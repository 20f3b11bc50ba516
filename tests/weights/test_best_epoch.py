"""The best epoch of a run."""

import pytest

from flax_vision.weights.best_epoch import METRICS, best_first, choose_metric, epoch_rank, score


def record(epoch, metric="top1", **validation):
    named = {f"validation/{name}": value for name, value in validation.items()}
    return {"epoch": epoch, "best_metric": metric, **named}


def test_rank_is_accuracy_and_then_loss():
    better = {"epoch": 1, "validation/top1": 0.9, "validation/loss": 9.0}
    equal = {"epoch": 2, "validation/top1": 0.9, "validation/loss": 1.0}
    worse = {"epoch": 3, "validation/top1": 0.8, "validation/loss": 0.1}
    assert best_first([better, equal, worse]) == [equal, better, worse]
    assert max([{"epoch": 1}, {"epoch": 2}], key=epoch_rank) == {"epoch": 2}


def test_first_of_equal_epochs_is_the_best():
    equal = {"validation/top1": 0.9, "validation/loss": 1.0}
    assert best_first([{"epoch": 1, **equal}, {"epoch": 2, **equal}])[0]["epoch"] == 1


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_chooses_its_own_epoch(metric):
    good, bad = (0.1, 0.9) if metric in ("loss", "ece") else (0.9, 0.1)
    others = {"top1": 0.5, "loss": 0.5}
    first = record(1, metric, **others | {metric: good})
    second = record(2, metric, **others | {metric: bad})
    assert best_first([second, first])[0] is first


def test_balanced_accuracy_is_stronger_than_top1():
    first = record(1, "balanced_accuracy", top1=0.9, loss=0.1, balanced_accuracy=0.2)
    second = record(2, "balanced_accuracy", top1=0.8, loss=0.2, balanced_accuracy=0.7)
    assert best_first([first, second])[0] is second


@pytest.mark.parametrize("metric", ["f1", "ece"])
def test_top1_replaces_missing_metrics_of_older_runs(metric):
    assert score(record(1, top1=0.7, loss=0.2), metric) == 0.7


@pytest.mark.parametrize(
    ("name", "imbalance", "metric"),
    [
        ("auto", 3.0, "top1"),
        ("auto", 3.5, "balanced_accuracy"),
        ("loss", 4.0, "loss"),
    ],
)
def test_auto_is_the_balanced_accuracy_of_unbalanced_classes(name, imbalance, metric):
    assert choose_metric(name, imbalance) == metric
