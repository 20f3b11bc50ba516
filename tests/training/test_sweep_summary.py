"""Mean, standard deviation and best value of a sweep's settings."""

from pathlib import Path

import pytest

from flax_vision.training.sweep_plan import SweepRun
from flax_vision.training.sweep_summary import summarize


def run(name, seed, top1=None, error=""):
    result = None if top1 is None else {"test/top1": top1, "test/loss": 1 - top1}
    return SweepRun({"model.name": name}, seed, Path(f"{name}{seed}"), result, error)


def test_summary_of_three_seeds():
    (summary,) = summarize([run("a", seed, top1) for seed, top1 in enumerate([0.5, 0.7, 0.9])])
    assert summary["settings"] == {"model.name": "a"}
    assert summary["test/top1"] == pytest.approx({"mean": 0.7, "std": 0.2, "best": 0.9})
    assert summary["test/loss"] == pytest.approx({"mean": 0.3, "std": 0.2, "best": 0.1})
    assert "test/top5" not in summary


def test_single_run_has_no_deviation():
    (summary,) = summarize([run("a", 0, 0.5)])
    assert summary["test/top1"] == {"mean": 0.5, "std": None, "best": 0.5}


def test_failed_and_unfinished_runs_are_counted_and_left_out_of_the_mean():
    runs = [run("a", 0, 0.5), run("a", 1, error="no"), run("a", 2), run("b", 0)]
    first, second = summarize(runs)
    assert (first["runs"], first["finished"], first["failed"]) == (3, 1, 1)
    assert first["test/top1"]["mean"] == 0.5
    assert (second["runs"], second["finished"], second["failed"]) == (1, 0, 0)
    assert "test/top1" not in second
