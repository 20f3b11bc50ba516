"""One page with the outcomes of all experiments."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from flax_vision.analysis.report import html
from flax_vision.papers.items.item import Item, Paper
from flax_vision.papers.outcome import Outcome, directory, table_rows
from flax_vision.papers.runs import ExperimentOptions
from flax_vision.runtime.files import replaced_file

_WIDTH = 614
"""Width of a figure in CSS pixels."""


def write_gallery(
    outcomes: Sequence[tuple[Paper, Item, Outcome]], options: ExperimentOptions, paper: str = ""
) -> Path:
    """Writes the page, and returns its path.

    Args:
      outcomes: Outcomes with their papers and items, in the order of the page.
      options: Choices of the experiments.
      paper: Name of the only paper, for a page of its own; empty for the page of all papers.
    """
    sections = [_section(paper, item, outcome, options) for paper, item, outcome in outcomes]
    seconds = sum(outcome.seconds for _, _, outcome in outcomes)
    facts = {"experiments": str(len(outcomes)), "time": _duration(seconds), "size": options.size}
    text = html.page(
        "The papers' tables and figures",
        "Each section has the paper's numbers beside the measured ones.",
        facts,
        sections,
        f"Written by `flax-vision paper {paper} --all`.".replace("  ", " "),
    )
    name = options.name(f"gallery-{paper}" if paper else "gallery")
    path = options.workdir / f"{name}.html"
    with replaced_file(path) as file:
        file.write_text(text, "utf-8")
    return path


def _section(
    paper: Paper, item: Item, outcome: Outcome, options: ExperimentOptions
) -> html.Section:
    """Returns the section of an outcome."""
    training = f"; training {_duration(outcome.train_seconds)}" if outcome.train_seconds else ""
    lines = {
        "Reduced": "; ".join(outcome.reduced),
        "Note": outcome.note,
        "Command": outcome.command,
        "Seeds": ", ".join(map(str, outcome.seeds)),
        "Time": f"{_duration(outcome.seconds)}{training}",
    }
    text = " ".join(f"{name}: {line}." for name, line in lines.items() if line)
    folder = directory(paper, item, options)
    pngs = [(folder / name).read_bytes() for name in outcome.pictures]
    height = round(_WIDTH * outcome.height / outcome.width)
    figure = html.Figure(item.name, pngs, outcome.alternative, "", _WIDTH, height)
    title = f"{paper.name}, {item.long_name}: {item.title}"
    return html.Section(title, text, [figure], html.table(table_rows(outcome.rows)))


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
