"""The page of a sweep: the curves of all runs in one figure, and their tables."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version

from flax_vision.analysis.report.figures import curves
from flax_vision.analysis.report.html import Section, figure, page, table
from flax_vision.analysis.sweep_table import run_rows, setting_title, settings_rows
from flax_vision.errors import UserError
from flax_vision.text import counted
from flax_vision.training.sweep_plan import SweepRun
from flax_vision.training.sweep_summary import best_first, summarize
from flax_vision.weights.run_files import Records, read_records

PAGE = "sweep.html"
"""Name of the page in the directory of a sweep."""

_CURVES = {"top1": "top-1 accuracy", "loss": "loss"}


def sweep_page(name: str, runs: Sequence[SweepRun]) -> str:
    """Returns a self-contained HTML page about a sweep.

    Args:
      name: Name of the sweep.
      runs: All runs. The records of the finished ones are read from their directories.
    """
    summaries = best_first(summarize(runs))
    finished = [run for run in runs if run.result is not None]
    failed = sum(bool(run.error) for run in runs)
    facts = {"runs": f"{len(finished):,} of {len(runs):,} finished", "failed": f"{failed:,}"}
    if "test/top1" in summaries[0]:
        rows = settings_rows(summaries)
        facts |= {"best setting": setting_title(summaries[0]["settings"])}
        facts |= {"its test top-1": getattr(rows[0]["test top-1"], "text", "")}
    return page(
        title=f"Sweep {name}",
        subtitle=f"{counted(len(summaries), 'setting')}, {counted(len(runs), 'run')}.",
        facts=facts,
        sections=[*_curves(finished), *_tables(runs)],
        footer=f"Made by flax_vision {version('flax_vision')}, {time.strftime('%Y-%m-%d %H:%M')}.",
    )


def _curves(runs: Sequence[SweepRun]) -> list[Section]:
    """Returns the section with the curves; none without records."""
    groups: dict[str, list[Records]] = {}
    for run in runs:
        with contextlib.suppress(UserError):  # the tables have the result all the same
            records = read_records(run.workdir)
            groups.setdefault(setting_title(run.settings), []).append(records)
    if not groups:
        return []
    figures = [
        figure(name, partial(curves.settings, groups, name), _alternative(title, groups))
        for name, title in _CURVES.items()
    ]
    text = "A line is the mean over the seeds of a setting. The band spans from the lowest to the "
    text += "highest seed."
    return [Section("Curves", text, figures)]


def _alternative(title: str, groups: Mapping[str, Sequence[Records]]) -> str:
    return f"Curves by epoch, {title}, of {counted(len(groups), 'setting')}: {'; '.join(groups)}."


def _tables(runs: Sequence[SweepRun]) -> list[Section]:
    rows = settings_rows(best_first(summarize(runs)))
    by_setting = table(rows, is_sortable=True, sorted_by="test top-1")
    text = (
        "Mean and sample standard deviation over the seeds. Best is the highest test accuracy of "
    )
    text += "a seed. A click on a heading sorts the table."
    by_run = table(run_rows(runs), is_sortable=True)
    return [
        Section("Settings", text, tables=by_setting),
        Section("Runs", "The result of each run, at its best epoch.", tables=by_run),
    ]
