"""Mean, standard deviation and best value of the runs of each setting."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from flax_vision.training.sweep_plan import SweepRun

METRICS = ("test/top1", "test/top5", "test/loss", "validation/top1", "train_seconds")
"""Entries of a result that have a summary."""

_SMALLEST_IS_BEST = ("test/loss", "train_seconds")


def summarize(runs: Sequence[SweepRun]) -> list[dict[str, Any]]:
    """Returns the summary of each setting, in the order of the runs.

    A summary has `settings`, the numbers `runs`, `finished` and `failed`, `errors` by the name of
    the run, and for each metric of the finished runs `mean`, `std` and `best`. `std` is the
    standard deviation of the sample, with n - 1 as the divisor, and None for one run.
    """
    groups: dict[str, list[SweepRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.settings), []).append(run)
    return [_summary(members) for members in groups.values()]


def _summary(runs: Sequence[SweepRun]) -> dict[str, Any]:
    results = [run.result for run in runs if run.result is not None]
    summary = {
        "settings": runs[0].settings,
        "runs": len(runs),
        "finished": len(results),
        "failed": sum(bool(run.error) for run in runs),
        "errors": {run.workdir.name: run.error for run in runs if run.error},
    }
    for metric in METRICS:
        values = [result[metric] for result in results if metric in result]
        if values:
            summary[metric] = {
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
                "best": (min if metric in _SMALLEST_IS_BEST else max)(values),
            }
    return summary


def best_first(summaries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns summaries by their mean test accuracy, the highest first; those without one last."""
    return sorted(summaries, key=lambda x: -x.get("test/top1", {"mean": -1.0})["mean"])
