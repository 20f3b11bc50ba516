"""The best epoch of a run by a validation metric."""

from collections.abc import Mapping, Sequence
from typing import Any

METRICS = ("top1", "top5", "loss", "balanced_accuracy", "f1", "ece")
"""Validation metrics that can choose an epoch."""

_LOWER_IS_BETTER = frozenset({"loss", "ece"})

IMBALANCE_THRESHOLD = 3.0
"""Ratio of the largest class to the smallest above which classes count as unbalanced."""


def choose_metric(name: str, imbalance: float | None) -> str:
    """Returns one of `METRICS` for a value of `config.checkpoint.best_metric`.

    `"auto"` is the balanced accuracy if the largest class has more than three times the images of
    the smallest, else the top-1 accuracy.

    Args:
      name: `"auto"`, or one of `METRICS`.
      imbalance: Ratio of the largest training class to the smallest; None if unknown.
    """
    if name != "auto":
        return name
    is_unbalanced = imbalance is not None and imbalance > IMBALANCE_THRESHOLD
    return "balanced_accuracy" if is_unbalanced else "top1"


def score(record: Mapping[str, Any], metric: str) -> float:
    """Returns a number that is larger for a better epoch.

    Args:
      record: Record of an epoch with validation.
      metric: One of `METRICS`. The record of an older run may lack it; then top-1 replaces it.
    """
    name = metric if f"validation/{metric}" in record else "top1"
    value: float = record[f"validation/{name}"]
    return -value if name in _LOWER_IS_BETTER else value


def epoch_rank(record: Mapping[str, Any]) -> tuple[float, ...]:
    """Returns the sort key of an epoch: the metric, then the loss; the epoch without validation.

    The metric is the record's `best_metric`, or top-1 if it has none.
    """
    if "validation/top1" not in record:
        return (record["epoch"],)
    return score(record, record_metric(record)), -record["validation/loss"]


def record_metric(record: Mapping[str, Any]) -> str:
    """Returns the metric that chooses the best epoch in the run of a record."""
    metric: str = record.get("best_metric", "top1")
    return metric


def best_first(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the records of epochs from best to worst; of equal epochs the earlier is first."""
    return sorted(history, key=epoch_rank, reverse=True)
