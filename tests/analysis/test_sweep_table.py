"""Rows of the tables about a sweep."""

from pathlib import Path

from flax_vision.analysis.sweep_table import run_rows, setting_title, settings_rows
from flax_vision.training.sweep_plan import SweepRun
from flax_vision.training.sweep_summary import best_first, summarize

RUNS = [
    SweepRun({"a": 1}, 0, Path("a=1,seed=0"), {"test/top1": 0.5, "test/loss": 1.0}),
    SweepRun({"a": 1}, 1, Path("a=1,seed=1"), {"test/top1": 0.75, "test/loss": 2.0}),
    SweepRun({"a": 2}, 0, Path("a=2,seed=0"), {"test/top1": 0.7}),
    SweepRun({"b": (1.0, 2)}, 0, Path("b=1,2,seed=0"), None, "no " * 40 + "end"),
]


def texts(row):
    return {heading: getattr(cell, "text", cell) for heading, cell in row.items()}


def test_row_of_a_setting():
    row = texts(settings_rows(summarize(RUNS))[0])
    assert row == {
        **{"a": "1", "b": "-", "runs": "2", "test top-1": "62.50 ± 17.68 %", "best": "75.00 %"},
        **{"validation top-1": "n/a", "test loss": "1.5000 ± 0.7071", "training time": "n/a"},
        "error": "",
    }


def test_one_seed_has_no_deviation():
    assert texts(settings_rows(summarize(RUNS))[1])["test top-1"] == "70.00 %"


def test_failed_setting_is_last_with_a_short_error():
    rows = [texts(row) for row in settings_rows(best_first(summarize(RUNS)))]
    assert [row["a"] for row in rows] == ["2", "1", "-"]
    assert rows[-1]["runs"] == "0 of 1"
    assert rows[-1]["error"].startswith("b=1,2,seed=0: no no no")
    assert rows[-1]["error"].endswith(" ...")


def test_without_errors_there_is_no_such_column():
    assert all("error" not in row for row in settings_rows(summarize(RUNS[:3])))
    assert all("error" not in row for row in run_rows(RUNS[:3]))


def test_rows_of_runs():
    rows = [texts(row) for row in run_rows(RUNS)]
    assert [row["seed"] for row in rows] == ["0", "1", "0", "0"]
    assert [row["test top-1"] for row in rows] == ["50.00%", "75.00%", "70.00%", "n/a"]
    assert rows[-1]["error"].endswith("end")
    assert rows[-1]["b"] == "1,2"


def test_titles():
    assert setting_title({"schedule.lr": 0.1, "b": (1.0, 2)}) == "schedule.lr=0.1, b=1,2"
    assert setting_title({}) == "all runs"
