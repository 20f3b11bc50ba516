"""Rows of the tables of a sweep, by setting and by run."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from flax_vision.analysis.report.html import Cell
from flax_vision.training.run_names import setting_text
from flax_vision.training.sweep_plan import SweepRun

_ERROR_LENGTH = 60
"""Characters of an error in the row of a setting; the row of a run has all of it."""

_UNKNOWN = Cell("n/a", -1.0)

Row = dict[str, Cell | str]
"""Cells of a row by heading."""


def settings_rows(summaries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Returns a row for each setting, with mean and standard deviation.

    Args:
      summaries: Summaries, as from `summarize`.
    """
    keys = _keys([summary["settings"] for summary in summaries])
    have_errors = any(summary["errors"] for summary in summaries)
    rows = []
    for summary in summaries:
        row = _setting_cells(summary["settings"], keys) | {
            "runs": _runs(summary),
            "test top-1": _percent(summary.get("test/top1")),
            "best": _best(summary.get("test/top1")),
            "validation top-1": _percent(summary.get("validation/top1")),
            "test loss": _loss(summary.get("test/loss")),
            "training time": _seconds(summary.get("train_seconds", {}).get("mean")),
        }
        errors = "; ".join(f"{name}: {_short(x)}" for name, x in summary["errors"].items())
        rows.append(row | ({"error": errors} if have_errors else {}))
    return rows


def run_rows(runs: Sequence[SweepRun]) -> list[Row]:
    """Returns a row for each run."""
    keys = _keys([run.settings for run in runs])
    have_errors = any(run.error for run in runs)
    rows = []
    for run in runs:
        result = run.result or {}
        row = _setting_cells(run.settings, keys) | {
            "seed": Cell(str(run.seed), run.seed),
            "best epoch": _number(result.get("best_epoch"), "d"),
            "validation top-1": _number(result.get("validation/top1"), ".2%"),
            "test top-1": _number(result.get("test/top1"), ".2%"),
            "test loss": _number(result.get("test/loss"), ".4f"),
            "training time": _seconds(result.get("train_seconds")),
        }
        rows.append(row | ({"error": run.error} if have_errors else {}))
    return rows


def setting_title(settings: Mapping[str, Any]) -> str:
    """Returns the title of a setting, such as `model.name=resnet20, schedule.lr=0.1`."""
    words = [f"{key}={setting_text(key, value)}" for key, value in settings.items()]
    return ", ".join(words) or "all runs"


def _short(error: str) -> str:
    return textwrap.shorten(error, _ERROR_LENGTH, placeholder=" ...")


def _keys(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for own in settings for key in own))


def _setting_cells(settings: Mapping[str, Any], keys: Sequence[str]) -> Row:
    return {key: setting_text(key, settings[key]) if key in settings else "-" for key in keys}


def _runs(summary: Mapping[str, Any]) -> Cell:
    finished, runs = summary["finished"], summary["runs"]
    return Cell(f"{finished}" if finished == runs else f"{finished} of {runs}", finished)


def _percent(metric: Mapping[str, Any] | None) -> Cell:
    if metric is None:
        return _UNKNOWN
    deviation = "" if metric["std"] is None else f" ± {100 * metric['std']:.2f}"
    return Cell(f"{100 * metric['mean']:.2f}{deviation} %", metric["mean"])


def _best(metric: Mapping[str, Any] | None) -> Cell:
    return _UNKNOWN if metric is None else Cell(f"{100 * metric['best']:.2f} %", metric["best"])


def _loss(metric: Mapping[str, Any] | None) -> Cell:
    if metric is None:
        return _UNKNOWN
    deviation = "" if metric["std"] is None else f" ± {metric['std']:.4f}"
    return Cell(f"{metric['mean']:.4f}{deviation}", metric["mean"])


def _number(value: float | None, form: str) -> Cell:
    return _UNKNOWN if value is None else Cell(f"{value:{form}}", value)


def _seconds(value: float | None) -> Cell:
    return _UNKNOWN if value is None else Cell(f"{value:,.1f} s", value)
